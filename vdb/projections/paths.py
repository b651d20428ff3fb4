"""Paths: where in an event a value is found.

    patient.name[0].family          fields and list positions of the JSON body
    code.text|code.coding[0].display    the first of them that is there and isn't null
    @time  @subject  @event_id ...  what the log or the envelope says (see `CONTEXT_FIELDS`)

A path that isn't there gives MISSING, which differs from null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from vdb.errors import ConfigError
from vdb.projections.handler import Context, StoredEvent

MISSING: Final = object()

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)((?:\[\d{1,4}\])*)")
_INDEX = re.compile(r"\[(\d+)\]")

CONTEXT_FIELDS: dict[str, Callable[[StoredEvent, Context], Any]] = {
    "@actor": lambda event, context: event.actor,
    "@event_id": lambda event, context: context.event_id.hex(),
    "@happened": lambda event, context: event.time,
    "@offset": lambda event, context: context.offset,
    "@position": lambda event, context: str(context.position),
    "@stream": lambda event, context: context.stream,
    "@subject": lambda event, context: event.subject or MISSING,
    "@time": lambda event, context: context.time,
    "@type": lambda event, context: event.type,
}
"""`@time` is when it was appended, `@happened` what the writer said; both microseconds UTC."""


@frozen
class Path:
    """A compiled path; `text` is how it was written."""

    text: str
    _alternatives: tuple[tuple[str | int, ...], ...] = attrs.field(repr=False, eq=False)
    _context: Callable[[StoredEvent, Context], Any] | None = attrs.field(repr=False, eq=False)

    @classmethod
    def parse(cls, text: str) -> Path:
        """ConfigError for text that isn't a path."""
        if text.startswith("@"):
            if text not in CONTEXT_FIELDS:
                raise ConfigError(f"a path: expected one of {', '.join(CONTEXT_FIELDS)}; found {text!r}")
            return cls(text, (), CONTEXT_FIELDS[text])
        return cls(text, tuple(_steps(part, text) for part in text.split("|")), None)

    @property
    def field(self) -> str:
        """The name of the body's field that this path is; "" for any other path."""
        plain = len(self._alternatives) == 1 and len(self._alternatives[0]) == 1
        return str(self._alternatives[0][0]) if plain else ""

    @property
    def needs_body(self) -> bool:
        return self._context is None

    def find(self, body: Any, event: StoredEvent, context: Context) -> Any:
        """The value, null as None, or MISSING."""
        return self.find_in_body(body) if self._context is None else self._context(event, context)

    def find_in_body(self, body: Any) -> Any:
        """The same for a path that isn't one of `CONTEXT_FIELDS`."""
        found: Any = MISSING
        for steps in self._alternatives:
            value = _walk(body, steps)
            if value is not None and value is not MISSING:
                return value
            if found is MISSING:
                found = value
        return found


def as_path(value: str | Path) -> Path:
    """A path, compiled if it isn't yet."""
    return value if isinstance(value, Path) else Path.parse(value)


def as_optional_path(value: str | Path | None) -> Path | None:
    """The same; "" is no path."""
    return as_path(value) if value else None


def as_paths(paths: Mapping[str, str | Path]) -> dict[str, Path]:
    """A path for each name."""
    return {name: as_path(value) for name, value in paths.items()}


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        value = value[step]
    return value


def _steps(part: str, text: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    for name in part.split("."):
        found = _STEP.fullmatch(name)
        if found is None:
            raise ConfigError(f"a path reads field.field[0]|other.field; found {text!r}")
        steps.append(found[1])
        steps.extend(int(number) for number in _INDEX.findall(found[2]))
    return tuple(steps)
