"""On whose behalf a program's transactions are made: a connection's own say, or that of the code around.

    connection.actor = "dr-lee"
    with vdb.dbapi.attributed(actor="dr-lee", purpose="treatment"):
        connection.execute(...)

What `attributed` says goes before what the connection says, name by name; metadata are joined. Where neither says who,
`vdb.context(actor=...)` does. It follows the context: tasks and threads that a framework starts with a copy of it have
it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import frozen

from vdb.changes import NOBODY, Attribution
from vdb.events.event_context import current_context


@frozen(kw_only=True)
class _Said:
    actor: str | None
    purpose: str | None
    metadata: Mapping[str, str]


_said: ContextVar[tuple[_Said, ...]] = ContextVar("vdb_attributed", default=())


@contextmanager
def attributed(
    *, actor: str | None = None, purpose: str | None = None, metadata: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Transactions that begin within are made on this behalf, on any connection."""
    token = _said.set((*_said.get(), _Said(actor=actor, purpose=purpose, metadata=dict(metadata or {}))))
    try:
        yield
    finally:
        _said.reset(token)


def current(own: Attribution) -> Attribution:
    """What counts now for a connection whose own say this is."""
    said, around = _said.get(), current_context().actor
    if around and not own.actor:
        own = Attribution(actor=around, purpose=own.purpose, metadata=own.metadata)
    if not said:
        return own
    actor, purpose, metadata = own.actor, own.purpose, dict(own.metadata)
    for each in said:
        actor = actor if each.actor is None else each.actor
        purpose = purpose if each.purpose is None else each.purpose
        metadata |= each.metadata
    return Attribution(actor=actor, purpose=purpose, metadata=metadata)


def own_attribution(actor: str, purpose: str, metadata: Mapping[str, str] | None) -> Attribution:
    """What a connection says by itself."""
    if not actor and not purpose and not metadata:
        return NOBODY
    return Attribution(actor=actor, purpose=purpose, metadata=dict(metadata or {}))
