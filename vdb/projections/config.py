"""What a projection is: its name, the streams it reads, and the template that makes its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from attrs import evolve, field, frozen

from vdb.errors import ConfigError
from vdb.projections.handler import Template
from vdb.projections.tables import Table, check_name
from vdb.projections.timeline import Timeline
from vdb.types import TenantId


@frozen(kw_only=True)
class StreamSelection:
    """Streams by exact name, or by how their names begin."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> StreamSelection:
        """From words such as `notes` and `fhir.*`; ConfigError for a '*' elsewhere."""
        names: list[str] = []
        prefixes: list[str] = []
        for pattern in patterns:
            stem = pattern.removesuffix("*")
            if not pattern or "*" in stem:
                raise ConfigError(f"a stream is chosen by its name, or by PREFIX*; found {pattern!r}")
            (prefixes if pattern.endswith("*") else names).append(stem)
        return cls(names=tuple(names), prefixes=tuple(prefixes))

    def wants(self, stream: str) -> bool:
        return stream in self.names or stream.startswith(self.prefixes)


def _selection(value: StreamSelection | Iterable[str]) -> StreamSelection:
    return value if isinstance(value, StreamSelection) else StreamSelection.parse(value)


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
    inline: bool = False
    """Whether an append to one of its streams is answered once these rows have its events (`vdb.node.inline`)."""

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "a projection")
        if self.version < 1:
            raise ConfigError(f"projection {self.name!r}: a version counts from 1; found {self.version}")
        if not self.streams.names and not self.streams.prefixes:
            raise ConfigError(f"projection {self.name!r} reads no stream: expected at least one name or PREFIX*")

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.template.tables

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
    """Timelines of the same name and tenant become one that holds both; else a name may stand for several versions.

    The older ones then keep their rows in step until those of the newest are built. ConfigError for the same version
    twice, and for a name both of every tenant and of one.
    """
    found: dict[tuple[str, TenantId | None, int], ProjectionConfig] = {}
    kinds: dict[tuple[str, TenantId | None], bool] = {}
    for config in configs:
        is_timeline = isinstance(config.template, Timeline)
        at = (config.name, config.tenant, 0 if is_timeline else config.version)
        if kinds.setdefault((config.name, config.tenant), is_timeline) != is_timeline:
            raise ConfigError(f"two projections are called {config.name!r}: only timelines can be joined")
        other = found.get(at)
        found[at] = config if other is None else _join(other, config)
    everybodys = {name: None for name, tenant, _version in found if tenant is None}
    for name, tenant, _version in found:
        if tenant is not None and name in everybodys:
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
