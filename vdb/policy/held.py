"""What a group holds of policies, broken glasses and consents, as it is told. Times are microseconds UTC."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class AppliedPolicy:
    serial: int
    version: str


@frozen
class OpenedGrant:
    """A glass that has just been broken."""

    grant: int
    until: int


@frozen(kw_only=True)
class PolicyInfo:
    """The policy of a group."""

    serial: int
    """0: there is none."""
    version: str = ""
    text: str = field(default="", repr=False)
    applied_at: int = 0
    applied_by: str = ""


@frozen(kw_only=True)
class GrantInfo:
    """A glass that was broken."""

    grant: int
    """Its number in the group: when it was broken."""
    principal: str
    subject: str = field(repr=False)
    """Empty: everybody's data."""
    reason: str = field(repr=False)
    until: int
    reviewer: str = ""
    """Empty: not reviewed yet."""
    verdict: str = ""
    remark: str = field(default="", repr=False)
    reviewed: int = 0

    @property
    def opened(self) -> int:
        return self.grant


@frozen(kw_only=True)
class ConsentInfo:
    """What a subject consents to."""

    subject: str = field(repr=False)
    purposes: tuple[str, ...]
    until: int
    """0: until it is withdrawn."""
    given: int


ERASED = "(erased)"
"""Stands for what can't be read any more, as its subject was erased."""
