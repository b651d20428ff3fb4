"""A program's functions that SQLite calls: functions, aggregates, collations, an authorizer, handlers, a trace.

What one of them raises can't pass through SQLite. It is remembered, for the error that the statement then gives, and
told to `sys.unraisablehook` if `enable_callback_tracebacks` is on.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from vdb.dbapi.constants import SQLITE_DENY, SQLITE_LIMIT_SQL_LENGTH, SQLITE_OK
from vdb.dbapi.errors import NotSupportedError, OperationalError, ProgrammingError
from vdb.dbapi.state import SQL_LENGTH_MAX, Called, ConnectionState, Failure
from vdb.sql.sqlite_api import limit

_FUNCTION_RAISED = "user-defined function raised exception"
_INT64 = 1 << 63
_INT32 = 1 << 31
_CATEGORIES = 12

_tracebacks = SimpleNamespace(on=False)


def enable_callback_tracebacks(enable: bool, /) -> None:
    """Whether what callbacks raise is told to `sys.unraisablehook`."""
    _tracebacks.on = bool(enable)


class Callbacks(ConnectionState):
    """The part of a connection that takes functions."""

    def create_function(
        self, name: str, narg: int, func: Callable[..., Any] | None, *, deterministic: bool = False
    ) -> None:
        """Have SQL call `func` by a name; None takes it away."""
        db = self._direct("functions")
        wrapped = _function(_missing(name) if func is None else func, self.called)
        with self.running():
            db.create_function(name, narg, wrapped, deterministic=deterministic)

    def create_aggregate(self, name: str, n_arg: int, aggregate_class: Any) -> None:
        """Have SQL aggregate with a class that has `step` and `finalize`."""
        db = self._direct("aggregates")
        wrapped = _aggregate(_missing(name) if aggregate_class is None else aggregate_class, self.called)
        with self.running():
            db.create_aggregate(name, n_arg, wrapped)

    def create_window_function(self, name: str, num_params: int, aggregate_class: Any, /) -> None:
        """The same with a class that has `value` and `inverse` as well."""
        db = self._direct("window functions")
        wrapped = None if aggregate_class is None else _aggregate(aggregate_class, self.called)
        try:
            with self.running():
                db.create_window_function(name, num_params, wrapped)
        except OperationalError as error:
            raise ProgrammingError(str(error)) from None

    def create_collation(self, name: str, callback: Callable[[str, str], int] | None, /) -> None:
        """Have SQL compare text with a function."""
        db = self._direct("collations")
        if not isinstance(name, str):
            raise TypeError(f"create_collation() argument 1 must be str, not {type(name).__name__}")
        name.encode()
        if callback is not None and not callable(callback):
            raise TypeError("parameter must be callable")
        with self.running():
            db.create_collation(str.__str__(name), None if callback is None else _collation(callback, self.called))

    def set_authorizer(self, authorizer_callback: Callable[..., int] | None) -> None:
        """Ask a function about all that statements do, after VerityDB's own rules."""
        self._direct("authorizers")
        assert self.backend is not None
        session = self.backend.session
        assert session is not None
        session.classifier.forget()
        self.called.authorizes = authorizer_callback is not None
        self.settle()
        wrapped = None if authorizer_callback is None else _authorizer(authorizer_callback, self.called)
        session.classifier.user_authorizer = wrapped

    def set_progress_handler(self, progress_handler: Callable[[], Any] | None, n: int) -> None:
        """Call a function every `n` steps of SQLite's; a statement ends if it returns what is true."""
        db = self._direct("progress handlers")
        db.set_progress_handler(None if progress_handler is None else _progress(progress_handler, self.called), n)

    def set_trace_callback(self, trace_callback: Callable[[str], Any] | None) -> None:
        """Tell a function each statement of the program's that runs."""
        db = self._direct("trace callbacks")
        self.called.tracer = trace_callback
        self.settle()
        db.set_trace_callback(None if trace_callback is None else _trace(self.called))

    def enable_load_extension(self, enable: bool, /) -> None:
        """Refused: what an extension does can't be known."""
        raise NotSupportedError("extensions can't be loaded: what they write wouldn't be in the log")

    def load_extension(self, name: str, /, *, entrypoint: str | None = None) -> None:
        """Refused, as `enable_load_extension` is."""
        self.enable_load_extension(True)

    def getlimit(self, category: int, /) -> int:
        """A limit of the connection."""
        return self._limit(category, None)

    def setlimit(self, category: int, limit: int, /) -> int:
        """Set a limit of the connection's own statements; what it was. A negative one changes nothing."""
        before = self._limit(category, limit if limit >= 0 else None)
        self.settle()
        session = None if self.backend is None else self.backend.session
        if session is not None:
            session.classifier.forget()
        return before

    def _limit(self, category: int, value: int | None) -> int:
        self.ready()
        if not 0 <= category < _CATEGORIES:
            raise ProgrammingError("'category' is out of bounds")
        if category == SQLITE_LIMIT_SQL_LENGTH:
            before = self.sql_length_max
            if value is not None:
                self.sql_length_max = min(value, SQL_LENGTH_MAX)
            return before
        highest = None if self.db is None else limit(self.db, category)
        if highest is None:
            raise NotSupportedError("SQLite's limits aren't at hand here")
        before = self.limits.get(category, highest)
        if value is not None:
            self.limits[category] = min(value, highest)
            if value >= highest:
                del self.limits[category]
        return before

    def _direct(self, what: str) -> Any:
        """SQLite's own connection, which will run code of the program's."""
        self.ready()
        if self.db is None:
            raise NotSupportedError(f"{what} of a program's own need the database in the same process")
        self.beware()
        return self.db


# What SQLite calls -------------------------------------------------------------------------------------------------


class _Missing(Exception):
    """A function that was taken away is called."""


def _missing(name: str) -> Callable[..., Any]:
    """What stands for a function that was taken away: the binding can't take one away."""

    def call(*_: Any) -> Any:
        raise _Missing(f"no such function: {name}")

    return call


def _function(function: Callable[..., Any], called: Called) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return _result(function(*arguments))
        except _Missing as error:
            _failed(called, error, str(error), function)
            raise
        except BaseException as error:
            _failed(called, error, _FUNCTION_RAISED, function)
            raise

    return call


def _aggregate(made_by: Any, called: Called) -> Any:
    """A class whose instances pass on to the program's what SQLite asks."""

    class Aggregate:
        def __init__(self) -> None:
            try:
                self._inner = made_by()
            except _Missing as error:
                _failed(called, error, str(error), made_by)
                raise
            except BaseException as error:
                _failed(called, error, _raised("__init__"), made_by)
                raise

        def step(self, *arguments: Any) -> None:
            self._call("step", arguments)

        def inverse(self, *arguments: Any) -> None:
            self._call("inverse", arguments)

        def value(self) -> Any:
            return self._call("value", ())

        def finalize(self) -> Any:
            return self._call("finalize", ())

        def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
            try:
                method = getattr(self._inner, name)
            except AttributeError as error:
                _failed(called, error, f"user-defined aggregate's '{name}' method not defined", made_by)
                raise
            try:
                return _result(method(*arguments))
            except BaseException as error:
                _failed(called, error, _raised(name), made_by)
                raise

    return Aggregate


def _collation(compare: Callable[[str, str], int], called: Called) -> Callable[[str, str], int]:
    def call(first: str, second: str) -> int:
        called.held += 1
        try:
            order = compare(first, second)
            return (order > 0) - (order < 0)
        except BaseException as error:
            _report(error, compare)
            return 0
        finally:
            called.held -= 1

    return call


def _authorizer(authorize: Callable[..., int], called: Called) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        if not called.authorizing:
            return SQLITE_OK
        called.held += 1
        try:
            answer = authorize(*arguments)
        except BaseException as error:
            _report(error, authorize)
            return SQLITE_DENY
        finally:
            called.held -= 1
        return answer if isinstance(answer, int) and -_INT32 <= answer < _INT32 else SQLITE_DENY

    return call


def _progress(handler: Callable[[], Any], called: Called) -> Callable[[], int]:
    def call() -> int:
        called.held += 1
        try:
            return int(bool(handler()))
        except BaseException as error:
            _report(error, handler)
            return 1
        finally:
            called.held -= 1

    return call


def _trace(called: Called) -> Callable[[str], None]:
    def call(statement: str) -> None:
        tracer = called.tracer
        if tracer is None or not called.tracing or not called.tracing[-1].is_due(statement):
            return
        called.held += 1
        try:
            tracer(statement)
        except BaseException as error:
            _report(error, tracer)
        finally:
            called.held -= 1

    return call


def _failed(called: Called, error: BaseException, text: str, function: Any) -> None:
    if called.failure is None:
        called.failure = Failure(error, text)
    _report(error, function)


def _result(value: Any) -> Any:
    """What a function returned, if SQLite can take it."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError("SQLite's binding takes a function's text up to its first NUL: return bytes")
    if isinstance(value, memoryview) and not value.c_contiguous:
        raise BufferError("underlying buffer is not C-contiguous")
    return value


def _raised(method: str) -> str:
    return f"user-defined aggregate's '{method}' method raised error"


def _report(error: BaseException, function: Any) -> None:
    """Tell `sys.unraisablehook`, if the program wants it."""
    if not _tracebacks.on:
        return
    if sys.unraisablehook is sys.__unraisablehook__:  # takes nothing but what the interpreter itself makes
        sys.stderr.write(f"Exception ignored in: {function!r}\n")
        traceback.print_exception(error, file=sys.stderr)
        return
    told: Any = SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=None, object=function
    )
    sys.unraisablehook(told)
