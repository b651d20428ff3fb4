"""What erasures, holds and retention share at the gate: the way to a group's primary, and into its log."""

from __future__ import annotations

from collections.abc import Mapping

from vdb.audit.entry import AuditEntry
from vdb.errors import InvalidArgument, UnknownTenant, error_for_refusal
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.kernel.reply import Numbered, Refusal
from vdb.node.erasure.erasure_request import ErasureRequest
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.reader import GroupReader
from vdb.node.replication.group import Group
from vdb.types import GroupId, Region, TenantId


class Endings:
    """See the module's docstring."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], region: Region) -> None:
        self._readers = readers
        self._region = region

    async def _commit(self, group: Group, request: ErasureRequest, note: AuditEntry | None) -> int:
        reply = await group.execute(request, INTERNAL, note=note)
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        assert isinstance(reply, Numbered)
        return reply.number

    async def _primary(self, group: str) -> GroupReader:
        reader = self._reader(group)
        await reader.group.confirm()
        return reader

    def _reader(self, name: str) -> GroupReader:
        reader = self._readers.get(GroupId(name or self._region.name))
        if reader is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self._readers)}")
        return reader

    def _check_tenant(self, group: Group, tenant: TenantId) -> None:
        if not group.state.has_tenant(tenant) or group.keyring.row(tenant, KeyScope.TENANT) is None:
            raise UnknownTenant(f"tenant {tenant} has no stream in {group.name}")


def check_words(what: str, text: str, bytes_max: int) -> None:
    """InvalidArgument for a text that is missing, or too long."""
    if not text.strip():
        raise InvalidArgument(f"{what} is needed; found none")
    check_text(what, text, bytes_max)
