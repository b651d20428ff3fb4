"""What all calls of consumer groups need: where a group is, whether this node may speak for it, and the way to the log.

That a group isn't there is said once that is sure: by the log, or after the primary proved that it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from vdb.errors import DefiniteError, InvalidArgument, TooLarge, UnknownConsumer, error_for_refusal
from vdb.kernel.command import Origin
from vdb.kernel.consumer_rows import ConsumerRow
from vdb.kernel.reply import Refusal, Reply
from vdb.limits import CONSUMER_NAME_BYTES_MAX
from vdb.node.consumers.consumer_request import ConsumerRequest
from vdb.node.consumers.consumer_sealing import consumer_lookup
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.service import LINEARIZABLE, Service
from vdb.node.gate.writes import Failure
from vdb.node.preparing.cutting import size_bound
from vdb.node.replication.group import Group
from vdb.types import GroupId, TenantId, check_tenant_id

T = TypeVar("T")
Answer = Callable[[GroupId, Reply], T | Failure]
OnAnswer = Callable[[T | Failure], None]


class Place(NamedTuple):
    """A consumer group, as its name was found."""

    reader: GroupReader
    tenant: TenantId
    name: str
    lookup: bytes
    """Empty: the tenant has no key, and so no consumer."""

    @property
    def group(self) -> Group:
        return self.reader.group

    @property
    def row(self) -> ConsumerRow | None:
        return self.group.state.consumer(self.tenant, self.lookup) if self.lookup else None


class ConsumerGate:
    """See the module's docstring."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.readers: Mapping[GroupId, GroupReader] = service.readers
        self.writes = service.writes

    def find(self, tenant: int, group: str, name: str) -> Place:
        """Where a consumer of this name would be. InvalidArgument."""
        checked = check_tenant_id(tenant)
        check_text("a consumer's name", name, CONSUMER_NAME_BYTES_MAX)
        reader = self.readers[self.service.group_of(group).name]
        return Place(reader, checked, name, consumer_lookup(reader.group.keyring, checked, name) or b"")

    async def know(self, tenant: int, group: str, name: str, *, sure: bool = False) -> Place:
        """A consumer that there is, on its primary. UnknownConsumer, NotPrimary. `sure`: nothing newer is known."""
        found = self.find(tenant, group, name)
        refusal = found.group.not_serving()
        if refusal is not None:
            raise refusal
        if found.row is None or sure:
            await self.confirm(found.group)
            found = self.find(tenant, group, name)
            if found.row is None:
                raise unknown(found)
        return found

    async def confirm(self, group: Group) -> None:
        await self.service.reach(group, LINEARIZABLE)

    def write(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        build: Callable[[Place], ConsumerRequest],
        answer: Answer[T],
        on_answer: OnAnswer[T],
    ) -> None:
        try:
            found = self.find(tenant, group, name)
            request = build(found)
        except DefiniteError as error:
            self.writes.refuse(origin, error, answer, on_answer)
            return
        self.submit(origin, found, request, answer, on_answer)

    def submit(
        self,
        origin: Origin,
        found: Place,
        request: ConsumerRequest,
        answer: Answer[T],
        on_answer: OnAnswer[T],
    ) -> None:
        try:
            if not found.name:
                raise InvalidArgument("a consumer's name can't be empty")
            self.writes.check_origin(origin, found.group)
            size, size_max = size_bound(request), found.group.limits.request_size_max
            if size > size_max:
                raise TooLarge(
                    f"the request takes up to {size} bytes: expected at most {size_max}, split it into several"
                )
        except DefiniteError as error:
            self.writes.refuse(origin, error, answer, on_answer)
            return
        self.writes.submit(found.tenant, found.group, request, origin, answer, on_answer)


def unknown(found: Place) -> UnknownConsumer:
    return UnknownConsumer(f"tenant {found.tenant} has no consumer {found.name!r} in group {found.group.name}")


def failure(reply: Reply, name: str) -> DefiniteError:
    if isinstance(reply, Refusal):
        return error_for_refusal(reply.code, reply.message.replace("consumer of this name", f"consumer {name!r}"))
    return InvalidArgument(
        "this number of the session belongs to another request: expected the same request again, or the next number"
    )
