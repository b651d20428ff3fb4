"""Requests of governance as they come through the gate, before they are sealed (`vdb.node.preparing.request`).

`size` is at most what each takes in a prepare's body, what every request takes apart.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.node.consumers.consumer_request import SEAL_SIZE
from vdb.node.governance.sealing import AttestationText, ConsentText, GrantText, ReviewText, text_of
from vdb.types import StreamId, TenantId

_CLEAR_SIZE = 256
"""Bytes of the fields that stand in clear, texts apart."""


@frozen(kw_only=True)
class PlainPolicy:
    """A policy that was checked."""

    serial: int
    version: str
    text: str = field(repr=False)
    by: str

    @property
    def size(self) -> int:
        return _CLEAR_SIZE + len(self.text.encode()) + len(self.by.encode())


@frozen(kw_only=True)
class PlainGrant:
    tenant: TenantId
    principal: str
    text: GrantText = field(repr=False)
    seconds: int

    @property
    def size(self) -> int:
        return _CLEAR_SIZE + 2 * SEAL_SIZE + len(self.principal.encode()) + len(text_of(self.text).encode())


@frozen(kw_only=True)
class PlainReview:
    tenant: TenantId
    grant: int
    reviewer: str
    text: ReviewText = field(repr=False)

    @property
    def size(self) -> int:
        return _CLEAR_SIZE + SEAL_SIZE + len(self.reviewer.encode()) + len(text_of(self.text).encode())


@frozen(kw_only=True)
class PlainConsent:
    tenant: TenantId
    subject: str = field(repr=False)
    purposes: tuple[str, ...]
    until: int = 0
    withdraw: bool = False

    @property
    def size(self) -> int:
        texts = len(text_of(ConsentText(self.subject)).encode()) + sum(16 + len(one) for one in self.purposes)
        return _CLEAR_SIZE + 2 * SEAL_SIZE + texts


@frozen(kw_only=True)
class PlainAttestation:
    tenant: TenantId
    stream: StreamId
    by: str
    text: AttestationText = field(repr=False)

    @property
    def size(self) -> int:
        return _CLEAR_SIZE + SEAL_SIZE + len(self.by.encode()) + len(text_of(self.text).encode())


GovernanceRequest = PlainPolicy | PlainGrant | PlainReview | PlainConsent | PlainAttestation
