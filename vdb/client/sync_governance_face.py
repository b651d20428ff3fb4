"""The part of the blocking face that is about who may do what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from vdb.client.sync_base import SyncBase
from vdb.policy.held import AppliedPolicy, ConsentInfo, GrantInfo, OpenedGrant, PolicyInfo
from vdb.types import Region


class SyncGovernanceFace(SyncBase):
    """Policies, broken glasses, consents, attestations. See `AsyncFace`."""

    def apply_policy(
        self, text: str, expected_serial: int | None = None, *, timeout: float | None = None
    ) -> AppliedPolicy:
        """Put a policy (TOML) in the place of the one that holds; returns once the node's groups have it."""
        return self._run(partial(self._face.apply_policy, text, expected_serial, timeout=timeout))

    def policy(self, group: Region | str = "", *, timeout: float | None = None) -> PolicyInfo:
        """The policy that holds in a group. Serial 0: none."""
        return self._run(partial(self._face.policy, group, timeout=timeout))

    def break_glass(
        self,
        reason: str,
        subject: str = "",
        *,
        seconds: int = 0,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> OpenedGrant:
        """Open an exception for yourself, as the policy's `[break-glass]` allows. It is told, and will be reviewed."""
        return self._run(
            partial(self._face.break_glass, reason, subject, seconds=seconds, group=group, timeout=timeout)
        )

    def grants(
        self, *, unreviewed: bool = False, group: Region | str = "", timeout: float | None = None
    ) -> list[GrantInfo]:
        """Broken glasses, oldest first; or those that nobody has reviewed yet."""
        return self._run(partial(self._face.grants, unreviewed=unreviewed, group=group, timeout=timeout))

    def review_grant(
        self, grant: int, verdict: str, remark: str = "", *, group: Region | str = "", timeout: float | None = None
    ) -> None:
        """Say what somebody else's broken glass was: 'justified' or 'unjustified'. It ends with that."""
        self._run(partial(self._face.review_grant, grant, verdict, remark, group=group, timeout=timeout))

    def give_consent(
        self,
        subject: str,
        purposes: Iterable[str],
        *,
        until: datetime | int | None = None,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """Record that a subject consents to purposes, until a time; None: for good."""
        self._run(partial(self._face.give_consent, subject, purposes, until=until, group=group, timeout=timeout))

    def withdraw_consent(
        self,
        subject: str,
        purposes: Iterable[str] = (),
        *,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """Record that a subject withdraws its consent to these purposes; to all for none."""
        self._run(partial(self._face.withdraw_consent, subject, purposes, group=group, timeout=timeout))

    def consents(
        self, subject: str = "", *, group: Region | str = "", timeout: float | None = None
    ) -> list[ConsentInfo]:
        """What a subject consents to; for none, what all do."""
        return self._run(partial(self._face.consents, subject, group=group, timeout=timeout))

    def attest(
        self,
        stream: str,
        *,
        expert: str,
        statement: str,
        document_digest: bytes = b"",
        timeout: float | None = None,
    ) -> None:
        """Record an expert's determination that a stream is de-identified: it may then hold free text."""
        self._run(
            partial(
                self._face.attest,
                stream,
                expert=expert,
                statement=statement,
                document_digest=document_digest,
                timeout=timeout,
            )
        )
