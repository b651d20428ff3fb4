"""Parameters on their way to SQLite: other types than SQLite's own are adapted, and all are copied.

A statement gets a tuple, or a dict, of values that nobody else holds or changes: adapters are a program's code, and
what they do to a list of parameters must not be seen by the binding, which reads it meanwhile. The adapters of Python's
`sqlite3` apply: those that are registered for a type, an object's `__conform__`, a protocol's `__adapt__`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from vdb.dbapi.errors import ProgrammingError
from vdb.projections.store import Binding

PrepareProtocol = Binding.PrepareProtocol
"""What an object is adapted to when it becomes a parameter."""

adapters: dict[Any, Callable[[Any], Any]] = {}
"""By (type, protocol)."""

_BASE = (int, float, str, bytearray, bytes, type(None), memoryview)

_BINDABLE = (int, float, str, bytes, bytearray, memoryview)

Plain = frozenset[type]


class _Known:
    """The types that go to SQLite as they are."""

    plain: Plain = frozenset((int, float, str, bytes, bytearray, type(None)))


known = _Known()
_MISSING: Any = object()


def register_adapter(kind: type, adapter: Callable[[Any], Any], /) -> None:
    """Have `adapter` turn parameters of exactly this type into one of SQLite's."""
    if not isinstance(kind, type):
        raise TypeError(f"register_adapter() argument 1 must be type, not {type(kind).__name__}")
    if kind in _BASE:
        known.plain = frozenset(each for each in known.plain if each is not kind)
    adapters[kind, PrepareProtocol] = adapter


def adapt(value: Any, protocol: Any = PrepareProtocol, alternative: Any = _MISSING, /) -> Any:
    """The value that stands for `value` under a protocol; ProgrammingError if there is none and no alternative."""
    adapter = adapters.get((type(value), protocol))
    if adapter is not None:
        return adapter(value)
    for owner, name, argument in ((protocol, "__adapt__", value), (value, "__conform__", protocol)):
        method = getattr(owner, name, None)
        if method is None:
            continue
        try:
            adapted = method(argument)
        except TypeError:
            adapted = None
        if adapted is not None:
            return adapted
    if alternative is not _MISSING:
        return alternative
    raise ProgrammingError("can't adapt")


def parameters_of(parameters: Any) -> tuple[Any, ...] | dict[str, Any]:
    """A copy of a statement's parameters, each of a type that SQLite stores."""
    if type(parameters) is tuple:
        if known.plain.issuperset(map(type, parameters)):
            return parameters
        return tuple(_bindable(value, index) for index, value in enumerate(parameters, 1))
    if isinstance(parameters, list | tuple) or (
        not isinstance(parameters, Mapping) and hasattr(type(parameters), "__getitem__") and _has_length(parameters)
    ):
        return _from_sequence(parameters)
    if isinstance(parameters, Mapping):
        return _Named(parameters)
    raise ProgrammingError("parameters are of unsupported type")


def each_of(rows: Any) -> Iterator[tuple[Any, ...] | dict[str, Any]]:
    """Copies of the parameters of many executions, made as they are asked for."""
    return map(parameters_of, iter(rows) if isinstance(rows, Iterable) else _not_iterable(rows))


class _Named(dict[str, Any]):
    """Named parameters, adapted as the statement asks for them: a mapping may make what it lacks."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        super().__init__((key, _bindable(value, key)) for key, value in dict(source).items())
        self._source = source

    def __missing__(self, key: str) -> Any:
        if type(self._source) is dict:
            raise KeyError(key)
        return _bindable(self._source[key], key)


def _from_sequence(parameters: Sequence[Any]) -> tuple[Any, ...]:
    # One by one, and the length asked beforehand: an adapter that shortens the list is an IndexError, as in sqlite3.
    return tuple(_bindable(parameters[index], index + 1) for index in range(len(parameters)))


def _bindable(value: Any, place: int | str) -> Any:
    kind = type(value)
    if kind in known.plain:
        return value
    adapted = adapt(value, PrepareProtocol, value)
    if adapted is None or isinstance(adapted, _BINDABLE):
        if isinstance(adapted, memoryview) and not adapted.c_contiguous:
            raise BufferError("underlying buffer is not C-contiguous")
        return _exact(adapted)
    try:
        return memoryview(adapted)
    except TypeError:
        name = f":{place}" if isinstance(place, str) else place
        raise ProgrammingError(
            f"Error binding parameter {name}: type '{type(adapted).__name__}' is not supported"
        ) from None


def _exact(value: Any) -> Any:
    """The value as one of SQLite's own types: what a subclass may do when it is looked at isn't done twice."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    return float.__float__(value) if isinstance(value, float) else value


def _has_length(parameters: Any) -> bool:
    return hasattr(type(parameters), "__len__")


def _not_iterable(rows: Any) -> Iterator[Any]:
    raise TypeError(f"'{type(rows).__name__}' object is not iterable")


def _adapt_date(value: datetime.date) -> str:
    return value.isoformat()


def _adapt_datetime(value: datetime.datetime) -> str:
    return value.isoformat(" ")


register_adapter(datetime.date, _adapt_date)
register_adapter(datetime.datetime, _adapt_datetime)
