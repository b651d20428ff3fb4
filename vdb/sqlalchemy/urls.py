"""What a database URL of SQLAlchemy's says, as arguments of `vdb.dbapi.connect`.

    verity://  verity:///:memory:                 a database of each connection's own, in memory
    verity:///relative/data  verity:////abs/data   a data directory
    verity:///file:shared?mode=memory&cache=shared  one in memory for all connections, while there is one
    verity://host:7140/name?host=other:7140       a cluster; the nodes that it names are asked in turn

SQLAlchemy reads one port in a URL: nodes beyond the first are `host=` options (`verity://a,b,c/name` works where all
listen on the same port).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from sqlalchemy import exc, util
from sqlalchemy.engine.url import URL

MEMORY = ":memory:"
PORT = 7140

OPTIONS: tuple[tuple[str, type], ...] = (
    ("name", str),
    ("tenant", int),
    ("keys", str),
    ("actor", str),
    ("purpose", str),
    ("timeout", float),
    ("isolation_level", str),
    ("detect_types", int),
    ("check_same_thread", bool),
    ("cached_statements", int),
)
"""What may stand behind the question mark: arguments of `connect`."""

FILE_OPTIONS = ("mode", "cache", "immutable")
"""What may stand there beside where the path begins with `file:`: see `vdb.dbapi.opening`."""

REMOTE_OPTIONS = ("create", "consistency", "answer_within", "cert", "key", "ca")
"""What may stand there beside `host` where nodes are named: see `vdb.dbapi.remote`."""


def is_remote(url: URL) -> bool:
    """Whether a URL names nodes to be asked over the network."""
    return bool(url.host) or "host" in url.query


def is_memory(url: URL) -> bool:
    """Whether each connection has a database of its own, in memory."""
    return not is_remote(url) and url.database in (None, "", MEMORY)


def connect_arguments(url: URL) -> tuple[list[str], dict[str, Any]]:
    """Positional and named arguments of `vdb.dbapi.connect`. ArgumentError for what the URL can't say."""
    if url.username or url.password:
        raise exc.ArgumentError("a verity URL has no user and no password: certificates say who connects")
    known = [name for name, _ in OPTIONS]
    if is_remote(url):
        known += ["host", *REMOTE_OPTIONS]
    elif _is_file_uri(url):
        known += ["uri", *FILE_OPTIONS]
    unknown = [name for name in url.query if name not in known]
    if unknown:
        raise exc.ArgumentError(f"this verity URL has no option {unknown[0]!r}; there are: {', '.join(known)}")
    options: dict[str, Any] = {}
    for name, kind in OPTIONS:
        if name in url.query:
            options[name] = url.query[name]
            util.coerce_kw_type(options, name, kind)
    if is_remote(url):
        if "name" in options:
            raise exc.ArgumentError("a cluster's database is named in the URL's path: verity://host:7140/name")
        options.setdefault("check_same_thread", False)
        asked = urlencode([(name, url.query[name]) for name in REMOTE_OPTIONS if name in url.query])
        name = quote(unquote(url.database or ""))  # SQLAlchemy 2.0 leaves it quoted
        return [f"verity://{','.join(_addresses(url))}/{name}{asked and '?' + asked}"], options
    if is_memory(url):
        return [MEMORY], options
    assert url.database is not None, "a URL without a database is one in memory"
    options.setdefault("check_same_thread", False)
    if _is_file_uri(url):
        asked = urlencode([(name, url.query[name]) for name in FILE_OPTIONS if name in url.query])
        return [f"{url.database}{asked and '?' + asked}"], options | {"uri": True}
    return [str(Path(url.database).absolute())], options


def _is_file_uri(url: URL) -> bool:
    return url.database is not None and url.database.startswith("file:")


def _addresses(url: URL) -> list[str]:
    port = url.port or PORT
    first = [f"{host}:{port}" for host in (url.host or "").split(",") if host]
    return first + [_with_port(host) for host in _texts(url.query, "host")]


def _with_port(host: str) -> str:
    return host if ":" in host.rpartition("]")[2] else f"{host}:{PORT}"


def _texts(query: Mapping[str, str | tuple[str, ...]], name: str) -> tuple[str, ...]:
    found = query.get(name, ())
    return (found,) if isinstance(found, str) else tuple(found)
