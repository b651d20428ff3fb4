"""Aggregates: classes whose methods fold the events of a stream into a state.

    @attrs.define
    class Patient:
        ward: str | None = None

        @vdb.applies(PatientAdmitted)
        def admitted(self, event: PatientAdmitted) -> None:
            self.ward = event.ward

Rules
- A fold begins with `Patient()`. A method changes the object, or returns another one to go on with.
- One method applies a class of events; that of a subclass replaces that of its base. Events that no method applies
  are passed over.
- The same events give the same state: a method looks at nothing but the object and the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import field, frozen

from vdb.errors import InvalidArgument

T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])

_MARK = "__vdb_applies__"


def applies(*classes: type[Any]) -> Callable[[M], M]:
    """Decorator of a method `(self, event) -> Self | None`: it applies events of these classes."""
    for one in classes:
        if not isinstance(one, type):
            raise InvalidArgument(f"a method applies classes of events; found {type(one).__name__}")
    if not classes:
        raise InvalidArgument("a method applies at least one class of events; found none")

    def mark(method: M) -> M:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), *classes))
        return method

    return mark


@frozen
class Folder:
    """The methods of an aggregate's class by the classes of events."""

    cls: type[Any]
    methods: Mapping[type[Any], Callable[[Any, Any], Any]] = field(repr=False)

    def start(self) -> Any:
        """The state before the first event. InvalidArgument when the class can't be made without arguments."""
        try:
            return self.cls()
        except TypeError as error:
            raise InvalidArgument(f"{self.cls.__qualname__} has no state to begin with: {error}") from None

    def apply(self, state: Any, event: Any) -> Any:
        """The state after an event."""
        method = self.methods.get(type(event))
        if method is None:
            return state
        after = method(state, event)
        return state if after is None else after


def folder_of(cls: type[Any]) -> Folder:
    """The folder of an aggregate's class. InvalidArgument: no method applies anything, or two the same events."""
    methods: dict[type[Any], tuple[type[Any], Callable[[Any, Any], Any]]] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            for event in getattr(member, _MARK, ()):
                if event in methods and methods[event][0] is base:
                    raise InvalidArgument(f"two methods of {base.__qualname__} apply {event.__qualname__}")
                methods[event] = (base, getattr(cls, name))
    if not methods:
        raise InvalidArgument(
            f"no method of {cls.__qualname__} applies an event: decorate them with @vdb.applies(EVENT)"
        )
    return Folder(cls, {event: method for event, (_, method) in methods.items()})
