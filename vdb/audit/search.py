"""What is looked for in an audit log: who saw this chart, what has this person done."""

from __future__ import annotations

from collections.abc import Container

from attrs import field, frozen
from msgspec.structs import replace

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry

TOKEN_PREFIX = "token:"
"""Before a subject's token, in hex, where an entry knows nothing else of the subject."""
_ALL = ALL_SUBJECTS[0]


@frozen(kw_only=True)
class AuditSearch:
    """An empty field says nothing."""

    subject: str = field(default="", repr=False)
    """Entries about this subject, and those about nobody in particular."""
    actor: str = ""
    """Entries of what this principal did, or somebody for it."""
    kinds: tuple[str, ...] = ()
    from_time: int = 0
    """Microseconds UTC."""
    to_time: int = 0
    """Before this; 0: to the end."""

    @property
    def is_empty(self) -> bool:
        return self == _EVERYTHING

    def fits(self, entry: AuditEntry, names: Container[str]) -> bool:
        """Whether this is looked for. `names`: all that the subject is called by (`subject_names`)."""
        if self.kinds and entry.kind.value not in self.kinds:
            return False
        if entry.time < self.from_time or (self.to_time and entry.time >= self.to_time):
            return False
        if self.actor and self.actor not in (entry.actor, entry.on_behalf_of):
            return False
        return not self.subject or any(one == _ALL or one in names for one in entry.subjects)


_EVERYTHING = AuditSearch()


def subject_names(subject: str, tokens: list[bytes]) -> tuple[str, ...]:
    """All that entries call a subject by: its name, and its tokens (32 bytes each)."""
    return (subject, *(TOKEN_PREFIX + token.hex() for token in tokens))


def called(entry: AuditEntry, subject: str, names: Container[str]) -> AuditEntry:
    """The entry with the subject's name where it has one of its tokens: nobody else can tell whose a token is."""
    if not any(one != subject and one in names for one in entry.subjects):
        return entry
    return replace(entry, subjects=tuple(dict.fromkeys(subject if one in names else one for one in entry.subjects)))
