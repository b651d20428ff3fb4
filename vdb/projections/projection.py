"""Projections as programs define them: functions, or a class.

    census = vdb.Projection("census", streams=("patient-*",), tables=[CENSUS])

    @census.on(PatientAdmitted)
    def admitted(event: PatientAdmitted, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO census VALUES (?, ?)", (event.patient_id, event.ward))

    class Wards(vdb.ProjectionHandler):
        name, streams, tables = "wards", ("patient-*",), (WARDS,)

        @vdb.handles(PatientAdmitted)
        def admitted(self, event: PatientAdmitted, context: vdb.Context) -> None: ...

        @vdb.after_commit
        async def notify(self, batch: vdb.Batch) -> None: ...

Rules
- Either is turned into a `ProjectionConfig` when a database is opened. Functions that are added later don't count.
- What functions do isn't known from outside: who changes it raises the version, and the rows are made anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from vdb.errors import ConfigError
from vdb.projections.config import BATCH_EVENTS, Effect, ErrorPolicy, ProjectionConfig
from vdb.projections.functions import EventHandler, EventSpec, Functions, type_names
from vdb.projections.handler import Template
from vdb.projections.tables import Table
from vdb.types import TenantId

F = TypeVar("F", bound=Callable[..., Any])
_HANDLES = "_vdb_handles"
_AFTER_COMMIT = "_vdb_after_commit"


class Projection:
    """Rows that functions, or a `template` (`vdb.LatestById`, `vdb.Timeline`), make from the events of some streams.

    `streams` holds names and PREFIX*; `version` counts from 1, and a change of tables, functions or rules asks for the
    next one. `batch_events` and `batch_seconds` bound a transaction; `on_error` is "stop", "park" or "skip"; `inline`
    has appends wait for these rows; `check` is a query that must give no row before rebuilt rows are used; `hold`:
    those of a raised version wait for `switch_projection`. `strict`: an event of these streams without a handler is an
    error, unless its type is in `ignore`. `tenant` None: all tenants.
    """

    def __init__(
        self,
        name: str,
        *,
        streams: Iterable[str],
        tables: Sequence[Table] = (),
        template: Template | None = None,
        version: int = 1,
        tenant: int | None = None,
        batch_events: int = BATCH_EVENTS,
        batch_seconds: float = 0.0,
        on_error: ErrorPolicy | str = ErrorPolicy.STOP,
        inline: bool = False,
        check: str = "",
        hold: bool = False,
        strict: bool = False,
        ignore: Iterable[EventSpec] = (),
    ) -> None:
        if template is not None and tables:
            raise ConfigError(f"projection {name!r}: expected tables or a template that has its own, found both")
        self._functions = Functions(name=name, tables=tuple(tables), strict=strict, ignored=type_names(ignore))
        self._effects: list[Effect] = []
        self._config = ProjectionConfig(
            name=name,
            version=version,
            tenant=None if tenant is None else TenantId(tenant),
            streams=streams,
            template=self._functions if template is None else template,
            batch_events=batch_events,
            batch_seconds=batch_seconds,
            on_error=on_error,
            inline=inline,
            check=check,
            hold=hold,
        )

    def __repr__(self) -> str:
        return f"Projection({self.name!r}, version={self.version})"

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def version(self) -> int:
        return self._config.version

    def on(self, *events: EventSpec) -> Callable[[F], F]:
        """Decorator: the function takes events of these registered classes, or type names, with the context."""
        if self._config.template is not self._functions:
            raise ConfigError(f"projection {self.name!r} has a template: it takes no handlers")

        def register(handler: F) -> F:
            for event in events:
                self._functions.add(event, handler)
            return handler

        return register

    def after_commit(self, effect: F) -> F:
        """Decorator of an async function of a `vdb.Batch`: an effect, see `vdb.projections.effects`."""
        self._effects.append(_checked_effect(effect, self.name))
        return effect

    def config(self) -> ProjectionConfig:
        """What a node is given."""
        return self._config.with_effects(tuple(self._effects))


class ProjectionHandler:
    """Base of projections that are classes; the attributes are the parameters of `Projection`.

    One instance, made without arguments unless one is given, serves all tenants: it keeps nothing between events.
    """

    name: ClassVar[str]
    streams: ClassVar[Iterable[str]]
    tables: ClassVar[Sequence[Table]] = ()
    version: ClassVar[int] = 1
    tenant: ClassVar[int | None] = None
    batch_events: ClassVar[int] = BATCH_EVENTS
    batch_seconds: ClassVar[float] = 0.0
    on_error: ClassVar[ErrorPolicy | str] = ErrorPolicy.STOP
    inline: ClassVar[bool] = False
    check: ClassVar[str] = ""
    hold: ClassVar[bool] = False
    strict: ClassVar[bool] = False
    ignore: ClassVar[Iterable[EventSpec]] = ()

    def config(self) -> ProjectionConfig:
        """What a node is given; ConfigError when name or streams are missing."""
        for needed in ("name", "streams"):
            if not hasattr(self, needed):
                raise ConfigError(f"{type(self).__qualname__}: a projection's class has the attribute {needed!r}")
        projection = Projection(
            self.name,
            streams=self.streams,
            tables=self.tables,
            version=self.version,
            tenant=self.tenant,
            batch_events=self.batch_events,
            batch_seconds=self.batch_seconds,
            on_error=self.on_error,
            inline=self.inline,
            check=self.check,
            hold=self.hold,
            strict=self.strict,
            ignore=self.ignore,
        )
        for attribute in _attributes(type(self)):
            found = getattr(type(self), attribute)
            method: EventHandler = getattr(self, attribute)
            projection.on(*getattr(found, _HANDLES, ()))(method)
            if getattr(found, _AFTER_COMMIT, False):
                projection.after_commit(method)
        return projection.config()


def handles(*events: EventSpec) -> Callable[[F], F]:
    """Decorator of a method of a `ProjectionHandler`: it takes events of these classes, or type names."""

    def register(method: F) -> F:
        setattr(method, _HANDLES, (*getattr(method, _HANDLES, ()), *events))
        return method

    return register


def after_commit(method: F) -> F:
    """Decorator of an async method of a `ProjectionHandler`: an effect, see `vdb.projections.effects`."""
    setattr(method, _AFTER_COMMIT, True)
    return method


def _checked_effect(effect: F, name: str) -> F:
    if not inspect.iscoroutinefunction(effect):
        raise ConfigError(f"projection {name!r}: after_commit takes an async function; found a plain one")
    return effect


def _attributes(cls: type[Any]) -> list[str]:
    """The functions of a class, in the order in which they are defined, bases first."""
    found: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        found.update(dict.fromkeys(name for name, value in vars(base).items() if inspect.isfunction(value)))
    return list(found)
