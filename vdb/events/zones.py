"""Datetimes without a zone are refused: they name no moment, and two readers would take them for two.

A checker is built once for each registered class, and only for the parts of it that can hold a datetime: an event
without one costs nothing.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec

Checker = Callable[[Any, str], str | None]
"""(value, its path) to the path of a datetime without a zone in it, if there is one."""


def zone_checker(cls: type[Any]) -> Checker | None:
    """What looks for naive datetimes in instances of an attrs class; None when none can be in them.

    TypeError: a field of it, or of a class within it, is left out by JSON since its name begins with '_'.
    """
    return _for_class(cls, ())


def _for_class(cls: type[Any], above: tuple[type[Any], ...]) -> Checker | None:
    if cls in above:  # a class within itself: its values are checked as far as the outer one goes
        return None
    _refuse_private(cls)
    hints = get_type_hints(cls, include_extras=True)
    checkers = []
    for name in _fields_of(cls):
        checker = _for_type(hints.get(name, Any), (*above, cls))
        if checker is not None:
            checkers.append((name, checker))
    if not checkers:
        return None

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, cls):
            return None
        for name, checker in checkers:
            found = checker(getattr(value, name), f"{path}.{name}")
            if found is not None:
                return found
        return None

    return check


def _refuse_private(cls: type[Any]) -> None:
    """A private field wouldn't be written, and come back with its default, or not at all."""
    fields: Iterable[Any] = attrs.fields(cls) if attrs.has(cls) else ()
    if dataclasses.is_dataclass(cls):
        fields = dataclasses.fields(cls)
    for found in fields:
        if found.init and found.name.startswith("_"):
            raise TypeError(f"{cls.__qualname__}.{found.name} is private, and would be left out: name it without '_'")


def _fields_of(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a class that JSON carries as an object; none of another."""
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls))
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return cls.__struct_fields__ if issubclass(cls, msgspec.Struct) else ()


def _for_type(hint: Any, above: tuple[type[Any], ...]) -> Checker | None:
    origin = get_origin(hint)
    if origin is Annotated:
        return _for_type(get_args(hint)[0], above)
    if hint is datetime:
        return _check_datetime
    if origin in (Union, types.UnionType):
        return _any_of([_for_type(one, above) for one in get_args(hint)])
    if isinstance(hint, NewType):
        return _for_type(hint.__supertype__, above)
    if isinstance(hint, type) and _fields_of(hint):
        return _for_class(hint, above)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _in_values(_for_type(get_args(hint)[-1], above))
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return _in_items(_any_of([_for_type(one, above) for one in get_args(hint)]))
    return None


def _check_datetime(value: Any, path: str) -> str | None:
    return path if isinstance(value, datetime) and value.utcoffset() is None else None


def _any_of(checkers: Iterable[Checker | None]) -> Checker | None:
    found = [checker for checker in checkers if checker is not None]
    if len(found) < 2:
        return found[0] if found else None

    def check(value: Any, path: str) -> str | None:
        return next((where for checker in found if (where := checker(value, path)) is not None), None)

    return check


def _in_items(checker: Checker | None) -> Checker | None:
    if checker is None:
        return None

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, Iterable):
            return None
        return next(
            (where for at, item in enumerate(value) if (where := checker(item, f"{path}[{at}]")) is not None), None
        )

    return check


def _in_values(checker: Checker | None) -> Checker | None:
    if checker is None:
        return None

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, Mapping):
            return None
        # A key may be somebody's name: the path shows that it is one, and not which.
        return next((where for item in value.values() if (where := checker(item, f"{path}[...]")) is not None), None)

    return check
