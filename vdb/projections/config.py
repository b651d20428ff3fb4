"""What a projection is: its name, the streams it reads, and the template that makes its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen

from vdb.errors import ConfigError
from vdb.events.erased import ERASED_TYPE
from vdb.projections.handler import Template
from vdb.projections.tables import Table, check_name
from vdb.projections.timeline import Timeline
from vdb.selection import SYSTEM_STREAMS
from vdb.types import TenantId


@frozen(kw_only=True)
class StreamSelection:
    """Streams by exact name, or by how their names begin."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> StreamSelection:
        """From words such as `notes` and `fhir.*`; ConfigError for a '*' elsewhere."""
        if isinstance(patterns, str):
            raise ConfigError(f"streams: expected several, such as ({patterns!r},); found one alone")
        names: list[str] = []
        prefixes: list[str] = []
        for pattern in patterns:
            stem = pattern.removesuffix("*")
            if not pattern or "*" in stem:
                raise ConfigError(f"a stream is chosen by its name, or by PREFIX*; found {pattern!r}")
            (prefixes if pattern.endswith("*") else names).append(stem)
        return cls(names=tuple(names), prefixes=tuple(prefixes))

    def wants(self, stream: str) -> bool:
        """Whether a projection reads a stream. The system's own, which begin with '$', aren't meant by '*' alone."""
        if not stream.startswith(self.prefixes):
            return stream in self.names
        if not stream.startswith(SYSTEM_STREAMS) or stream in self.names:
            return True
        return any(prefix.startswith(SYSTEM_STREAMS) and stream.startswith(prefix) for prefix in self.prefixes)


def _policy(value: ErrorPolicy | str) -> ErrorPolicy:
    try:
        return ErrorPolicy(value)
    except ValueError:
        words = ", ".join(repr(policy.value) for policy in ErrorPolicy)
        raise ConfigError(f"on_error: expected one of {words}; found {value!r}") from None


def _selection(value: StreamSelection | Iterable[str]) -> StreamSelection:
    return value if isinstance(value, StreamSelection) else StreamSelection.parse(value)


class ErrorPolicy(Enum):
    """What a projection does with an event that its handlers fail at. The values are the words of configurations."""

    STOP = "stop"
    """It stops there, until the node starts again with a handler that can."""
    PARK = "park"
    """The event is parked, and later ones of the same subject (or stream) wait behind it; all others go on."""
    SKIP = "skip"
    """The event is passed over for good, and recorded."""


BATCH_EVENTS = 2_000
"""Events that are read, and committed, at once."""

Effect = Callable[[Any], Awaitable[None]]
"""Called after a commit with a `vdb.projections.effects.Batch`."""


@frozen(kw_only=True)
class ProjectionConfig:
    name: str
    version: int = 1
    """A change of tables or rules asks for the next version; the rows are then made anew."""
    tenant: TenantId | None = None
    """None: every tenant has one."""
    streams: StreamSelection = field(converter=_selection)
    template: Template
    check: str = ""
    """A query that gives a row where the rows are wrong: what a rebuild made isn't used while it does."""
    hold: bool = False
    """Whether rows of a raised version, once they are built, wait for `switch_projection` before they are used."""
    on_error: ErrorPolicy = field(default=ErrorPolicy.STOP, converter=_policy)
    batch_events: int = BATCH_EVENTS
    """Events that are applied in one transaction, at most."""
    batch_seconds: float = 0.0
    """How long a transaction waits for that many. Rows are that much later; fewer transactions are made."""
    after_commit: tuple[Effect, ...] = ()
    inline: bool = False
    """Whether an append to one of its streams is answered once these rows have it (`vdb.node.projecting.inline`)."""

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "a projection")
        if self.version < 1:
            raise ConfigError(f"projection {self.name!r}: a version counts from 1; found {self.version}")
        if not self.streams.names and not self.streams.prefixes:
            raise ConfigError(f"projection {self.name!r} reads no stream: expected at least one name or PREFIX*")
        if self.inline and self.batch_seconds > 0:
            raise ConfigError(
                f"projection {self.name!r} is inline, so appends wait for it: expected batch_seconds 0, found "
                f"{self.batch_seconds:g}"
            )
        if self.batch_events < 1 or self.batch_seconds < 0:
            raise ConfigError(f"projection {self.name!r}: a batch has at least one event, and waits no negative time")

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.template.tables

    @property
    def guarded(self) -> bool:
        """Whether the template is somebody's own functions: they get a handle that refuses what isn't for them."""
        return getattr(self.template, "guarded", False)

    @property
    def only_writes(self) -> bool:
        """Whether the template never reads what it wrote."""
        return getattr(self.template, "only_writes", False)

    @property
    def apply_all(self) -> Callable[..., None] | None:
        """How the template applies many events of a run at once, if it can."""
        return getattr(self.template, "apply_all", None)

    def with_effects(self, effects: tuple[Effect, ...]) -> ProjectionConfig:
        """The same projection with these effects."""
        return evolve(self, after_commit=effects)

    @property
    def takes_erased(self) -> bool:
        """Whether a function takes what stands for erased events; a template passes them over."""
        return ERASED_TYPE in getattr(self.template, "handled", ())

    def claims(self, event_type: str) -> bool:
        """Whether the projection takes events of this type: all that a built-in template may look at."""
        claims: Callable[[str], bool] | None = getattr(self.template, "claims", None)
        return True if claims is None else claims(event_type)

    def fingerprint(self) -> str:
        """A hash of all that decides which rows come out."""
        text = "\n".join((repr(self.streams), self.template.description(), *(repr(table) for table in self.tables)))
        return hashlib.sha256(text.encode()).hexdigest()

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


def for_tenant(configs: Iterable[ProjectionConfig], tenant: TenantId) -> list[ProjectionConfig]:
    """The projections that a tenant has."""
    return [config for config in configs if config.tenant is None or config.tenant == tenant]


def joined(configs: Iterable[ProjectionConfig]) -> tuple[ProjectionConfig, ...]:
    """Timelines of the same name and tenant become one that holds both; anything else twice is ConfigError.

    Several versions of a projection may stand beside each other: the newest is built while an older one is served.
    """
    found: dict[tuple[str, TenantId | None, int], ProjectionConfig] = {}
    for config in configs:
        at = (config.name, config.tenant, config.version)
        if isinstance(config.template, Timeline):  # of any version
            at = next((one for one in found if one[:2] == at[:2]), at)
        other = found.get(at)
        found[at] = config if other is None else _join(other, config)
    of_all = [name for name, tenant, _version in found if tenant is None]
    for name, tenant, _version in found:
        if tenant is not None and name in of_all:
            raise ConfigError(f"projection {name!r}: expected it for every tenant or for tenant {tenant}, found both")
    return tuple(found.values())


def _join(one: ProjectionConfig, other: ProjectionConfig) -> ProjectionConfig:
    if not isinstance(one.template, Timeline) or not isinstance(other.template, Timeline):
        raise ConfigError(f"two projections are called {one.name!r}: only timelines can be joined")
    return evolve(
        one,
        version=max(one.version, other.version),
        streams=StreamSelection(
            names=one.streams.names + other.streams.names, prefixes=one.streams.prefixes + other.streams.prefixes
        ),
        template=one.template.joined(other.template),
        inline=one.inline or other.inline,
    )
