"""The template of projections that are Python: a function for each class of events.

Rules
- A function is called with an instance of its class, decoded and upcast to the newest version, and the context. One
  for a name gets the body as plain JSON values instead, upcast too; one for "" gets the bytes of opaque payloads.
- An event of a type that no function takes is passed over. A `strict` projection fails at it, unless it says that it
  ignores the type: then a new type can't be forgotten.
- An event that is of a taken type, and comes out as another class, is an error: its version has no way to that class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import define, field

from vdb.errors import ConfigError, InvalidEvent, UnknownEventType
from vdb.events import REGISTRY
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.tables import Table

EventHandler = Callable[[Any, Context], None]
"""(event, context)."""
EventSpec = type[Any] | str
"""A registered class, or a type's name."""


@define(kw_only=True)
class Functions:
    """A template. Functions are added until the projection is opened."""

    name: str
    """The projection's, for messages."""
    tables: tuple[Table, ...]
    strict: bool = False
    ignored: tuple[str, ...] = ()
    guarded = True
    """What `context.db` refuses: see `vdb.projections.handle`."""
    _handlers: dict[str, dict[type[Any] | None, EventHandler]] = field(factory=dict, repr=False, init=False)

    def add(self, event: EventSpec, handler: EventHandler) -> None:
        """Have a function take events; ConfigError when another one does, or it can't."""
        if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
            raise ConfigError(f"projection {self.name!r}: a handler is a plain function; found an async one")
        if inspect.isgeneratorfunction(handler):
            raise ConfigError(f"projection {self.name!r}: a handler is a plain function; found one that yields")
        _check_signature(self.name, event, handler)
        takers = self._handlers.setdefault(type_name(event), {})
        cls = event if isinstance(event, type) else None
        if cls in takers or (takers and (cls is None or None in takers)):
            raise ConfigError(f"projection {self.name!r} has a handler of {type_name(event)!r} already")
        takers[cls] = handler

    @property
    def handled(self) -> Collection[str]:
        """The types that functions take by their name."""
        return self._handlers

    def claims(self, event_type: str) -> bool:
        return event_type in self._handlers

    def apply(self, _db: Any, event: StoredEvent, context: Context) -> None:
        takers = self._handlers.get(event.type)
        if takers is None:
            if self.strict and event.type not in self.ignored:
                raise UnknownEventType(
                    f"no handler takes {event.type!r}: the projection is strict, and doesn't ignore the type"
                )
            return
        plain = takers.get(None)
        if plain is not None:
            plain(event.body if event.opaque else event.json(), context)
            return
        decoded = event.decode()
        handler = takers.get(type(decoded))
        if handler is None:
            raise InvalidEvent(
                f"event {event.type!r} version {event.version}: no upcaster leads to the class that a handler takes"
            )
        handler(decoded, context)

    def description(self) -> str:
        return f"functions: {', '.join(sorted(self._handlers))}{'; strict' if self.strict else ''}"


def _check_signature(name: str, event: EventSpec, handler: EventHandler) -> None:
    """ConfigError for a function that can't be called, or whose annotation names another registered class."""
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # of a callable that doesn't tell
    called = f"projection {name!r}: handler {getattr(handler, '__qualname__', 'without a name')!r}"
    try:
        signature.bind(None, None)
    except TypeError:
        raise ConfigError(f"{called} takes {signature}: expected (event, context)") from None
    try:
        annotated = next(iter(inspect.signature(handler, eval_str=True).parameters.values())).annotation
        REGISTRY.type_of(annotated)
    except Exception:  # a name that can't be looked up from here, or no class of events, says nothing
        return
    if isinstance(event, type) and not issubclass(event, annotated):
        raise ConfigError(f"{called} takes {annotated.__qualname__}: it can't be given {event.__qualname__}")


def type_name(event: EventSpec) -> str:
    """The name under which a class is registered, or the name itself."""
    return event if isinstance(event, str) else REGISTRY.type_of(event).name


def type_names(events: Iterable[EventSpec]) -> tuple[str, ...]:
    """The names of several."""
    return tuple(type_name(event) for event in events)
