"""The part of the face that is about who may do what: policies, broken glasses, consents, attestations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from vdb.client.face_base import FaceBase
from vdb.client.values import check_number, check_text
from vdb.errors import InvalidArgument
from vdb.events.times import time_us
from vdb.policy.held import AppliedPolicy, ConsentInfo, GrantInfo, OpenedGrant, PolicyInfo
from vdb.types import GLOBAL_GROUP, U64_MAX, Region

_U32_MAX = 2**32 - 1


class GovernanceFace(FaceBase):
    """A policy holds in all groups. Grants and consents are a tenant's, in a region; empty: the node's."""

    async def apply_policy(
        self, text: str, expected_serial: int | None = None, *, timeout: float | None = None
    ) -> AppliedPolicy:
        """Put a policy (TOML) in the place of the one that holds; returns once the node's groups have it.

        `expected_serial`: of the policy that it replaces, 0 for none; None: whichever holds now. PolicyChanged where
        another one holds; InvalidArgument for a policy that is unsound, or whose cases fail; AccessDenied, also for one
        that would lock you out.
        """
        check_text(text, "a policy")
        seconds = self._seconds(timeout)
        if expected_serial is None:
            expected_serial = (await self._gateway.governance.get_policy(GLOBAL_GROUP, timeout=seconds)).serial
        check_number(expected_serial, U64_MAX, "a serial")
        return await self._gateway.governance.apply_policy(text, expected_serial, timeout=seconds)

    async def policy(self, group: Region | str = "", *, timeout: float | None = None) -> PolicyInfo:
        """The policy that holds in a group; its text only for who may apply policies or audit. Serial 0: none."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.governance.get_policy(name, timeout=self._seconds(timeout))

    async def break_glass(
        self,
        reason: str,
        subject: str = "",
        *,
        seconds: int = 0,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> OpenedGrant:
        """Open an exception for yourself, as the policy's `[break-glass]` allows. It is told, and will be reviewed.

        `subject`: whose data; empty: everybody's. `seconds`: 0 for as long as the policy allows.
        """
        check_text(reason, "a reason")
        check_text(subject, "a subject")
        check_number(seconds, _U32_MAX, "seconds")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.governance.break_glass(
            self.tenant, name, subject, reason, seconds, timeout=self._seconds(timeout)
        )

    async def grants(
        self, *, unreviewed: bool = False, group: Region | str = "", timeout: float | None = None
    ) -> list[GrantInfo]:
        """Broken glasses, oldest first; or those that nobody has reviewed yet."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.governance.list_grants(
            self.tenant, name, unreviewed=unreviewed, timeout=self._seconds(timeout)
        )

    async def review_grant(
        self, grant: int, verdict: str, remark: str = "", *, group: Region | str = "", timeout: float | None = None
    ) -> None:
        """Say what somebody else's broken glass was: 'justified' or 'unjustified'. It ends with that."""
        check_number(grant, U64_MAX, "a grant")
        check_text(verdict, "a verdict")
        check_text(remark, "a remark")
        name = str(group) or await self._region_of_node(timeout)
        await self._gateway.governance.review_grant(
            self.tenant, name, grant, verdict, remark, timeout=self._seconds(timeout)
        )

    async def give_consent(
        self,
        subject: str,
        purposes: Iterable[str],
        *,
        until: datetime | int | None = None,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """Record that a subject consents to purposes (HL7 v3-ActReason), until a time; None: for good."""
        micros = 0 if until is None else time_us(until, "the end of a consent")
        await self._put_consent(subject, purposes, micros, group, timeout, withdraw=False)

    async def withdraw_consent(
        self,
        subject: str,
        purposes: Iterable[str] = (),
        *,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """Record that a subject withdraws its consent to these purposes; to all for none."""
        await self._put_consent(subject, purposes, 0, group, timeout, withdraw=True)

    async def _put_consent(
        self,
        subject: str,
        purposes: Iterable[str],
        until: int,
        group: Region | str,
        timeout: float | None,
        *,
        withdraw: bool,
    ) -> None:
        if isinstance(purposes, str):
            raise InvalidArgument("purposes are several codes: expected a list, found a text")
        check_text(subject, "a subject")
        named = tuple(purposes)
        for purpose in named:
            check_text(purpose, "a purpose")
        name = str(group) or await self._region_of_node(timeout)
        await self._gateway.governance.put_consent(
            self.tenant, name, subject, named, until, withdraw=withdraw, timeout=self._seconds(timeout)
        )

    async def consents(
        self, subject: str = "", *, group: Region | str = "", timeout: float | None = None
    ) -> list[ConsentInfo]:
        """What a subject consents to; for none, what all do."""
        check_text(subject, "a subject")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.governance.list_consents(self.tenant, name, subject, timeout=self._seconds(timeout))

    async def attest(
        self,
        stream: str,
        *,
        expert: str,
        statement: str,
        document_digest: bytes = b"",
        timeout: float | None = None,
    ) -> None:
        """Record an expert's determination that a stream is de-identified (45 CFR 164.514(b)(1)): it may then hold
        free text. `document_digest`: SHA-256 of what the expert signed."""
        check_text(expert, "an expert's name")
        check_text(statement, "a statement")
        check_text(stream, "a stream's name")
        await self._gateway.governance.attest(
            self.tenant, stream, expert, statement, document_digest, timeout=self._seconds(timeout)
        )
