"""What `projections=` takes, turned into configurations; and projections named as `module:attribute`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol

from vdb.errors import ConfigError
from vdb.projections.config import ProjectionConfig
from vdb.projections.projection import ProjectionHandler


class HasConfig(Protocol):
    """A `vdb.Projection`, a `vdb.TableProjection`, or an instance of a `vdb.ProjectionHandler`."""

    def config(self) -> ProjectionConfig: ...


GivenProjection = ProjectionConfig | HasConfig | type[ProjectionHandler] | str
"""A projection in any of its forms; text names it as `module:attribute`."""


def as_configs(given: Iterable[Any]) -> tuple[ProjectionConfig, ...]:
    """The configurations of projections; ConfigError for what is none. Lists among them are taken apart."""
    found: list[ProjectionConfig] = []
    for one in given:
        if isinstance(one, list | tuple):
            found.extend(as_configs(one))
        elif isinstance(one, str):
            found.extend(as_configs([load(one)]))
        else:
            found.append(_config(one))
    return tuple(found)


def load(name: str) -> Any:
    """What `module:attribute` names; ConfigError says what is missing.

    The module is imported, and what goes wrong inside it comes out with its class and its own words: it is code, not
    data.
    """
    module, colon, attribute = name.partition(":")
    if not module or not colon or not attribute:
        raise ConfigError(f"a projection is named MODULE:ATTRIBUTE; found {name!r}")
    try:
        found: Any = import_module(module)
    except Exception as error:
        raise ConfigError(
            f"projection {name!r}: {module} can't be imported: {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"projection {name!r}: {module} has no attribute {attribute!r}")
        found = getattr(found, part)
    return found


def _config(one: Any) -> ProjectionConfig:
    if isinstance(one, ProjectionConfig):
        return one
    if isinstance(one, type) and issubclass(one, ProjectionHandler):
        one = one()
    make = getattr(one, "config", None)
    found = make() if callable(make) and not isinstance(one, type) else None
    if not isinstance(found, ProjectionConfig):
        raise ConfigError(
            "expected projections (vdb.Projection, a subclass of vdb.ProjectionHandler, ...) or 'module:attribute'; "
            f"found {type(one).__name__ if not isinstance(one, type) else one.__qualname__}"
        )
    return found
