"""Commands that say who may do what: policies, broken glasses, consents, attestations.

Policies and principals stand in clear. A subject is an HMAC (`KeyScope.SUBJECT`), or sealed under its own key; so are
reasons and remarks, and what an expert says.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.types import StreamId, TenantId


@frozen(kw_only=True)
class PutPolicy:
    """The group's policy from this op on. The global group's log makes serials; a region's takes copies."""

    serial: int
    version: str
    """`sha256:` and 64 hex digits, of the policy's canonical form."""
    text: str = field(repr=False)
    """TOML (`vdb.policy.file`)."""
    by: str
    """The principal who applied it."""


@frozen(kw_only=True)
class OpenGrant:
    """Somebody breaks the glass. The grant's number is the time of the request."""

    tenant: TenantId
    principal: str
    subject: bytes = field(repr=False)
    """Lookup; empty: everybody's data."""
    until: int
    """Microseconds UTC."""
    sealed: bytes = field(repr=False)
    """Subject and reason. Empty when a refusal is predicted."""


@frozen(kw_only=True)
class ReviewGrant:
    """Another person has looked at what was done with a grant; it ends with that."""

    tenant: TenantId
    grant: int
    reviewer: str
    sealed: bytes = field(repr=False)
    """Verdict and remark. Empty when a refusal is predicted."""


@frozen(kw_only=True)
class PutConsent:
    """A subject consents to purposes, or withdraws consents."""

    tenant: TenantId
    subject: bytes = field(repr=False)
    """Lookup."""
    purposes: tuple[str, ...]
    """To be withdrawn: none means all."""
    until: int = 0
    """Microseconds UTC; 0: until it is withdrawn."""
    withdraw: bool = False
    sealed: bytes = field(default=b"", repr=False)
    """The subject's name. Empty for a withdrawal, or when a refusal is predicted."""


@frozen(kw_only=True)
class Attest:
    """An expert has determined that a de-identified stream may hold free text (45 CFR 164.514(b)(1))."""

    tenant: TenantId
    stream: StreamId
    by: str
    """The principal who recorded it."""
    sealed: bytes = field(repr=False)
    """Expert, statement, digest of the document. Empty when a refusal is predicted."""


GovernanceCommand = PutPolicy | OpenGrant | ReviewGrant | PutConsent | Attest
