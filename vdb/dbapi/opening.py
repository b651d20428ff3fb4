"""What a connection is opened on: memory, a data directory, or a node far away.

":memory:", ""                            a throw-away database of this process
"file:NAME?mode=memory&cache=shared"      one that connections of this process share by name (with `uri=True`)
a path, "file:PATH?mode=ro" (uri=True)    a data directory, which one process holds; its connections share a node
"verity://HOST:PORT/NAME"                 a database of a cluster (`remote` says what else it may name)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

from attrs import frozen

from vdb.dbapi.backend import Backend, LocalBackend
from vdb.dbapi.errors import OperationalError, translated
from vdb.dbapi.remote import open_remote
from vdb.embedded.crud import LocalDatabase, open_local
from vdb.embedded.database import DEFAULT_REGION
from vdb.embedded.memory import open_memory
from vdb.embedded.past import open_past
from vdb.errors import VerityError
from vdb.sql.moment import parse_moment
from vdb.world.threads import background, in_background

MEMORY = ":memory:"
REMOTE = "verity://"
_UNABLE = "unable to open database file"


@frozen(kw_only=True)
class Target:
    """What the argument `database` names."""

    path: str = ""
    """Of a data directory; empty: memory."""
    shared_name: str = ""
    """By which connections share a memory database."""
    url: str = ""
    """Of a cluster's database; else empty."""
    read_only: bool = False
    must_exist: bool = False


def parse_target(database: Any, *, uri: bool) -> Target:
    """What `database` names. OperationalError for what can't be opened."""
    text = _text(database)
    if text.startswith(REMOTE):
        return Target(url=text)
    if uri and text.startswith("file:"):
        return _parse_uri(text)
    return Target() if text in (MEMORY, "") else Target(path=text)


def open_backend(
    database: Any,
    *,
    uri: bool,
    timeout: float,
    cached_statements: int,
    keys: Any,
    tenant: int,
    name: str,
    region: str | None,
    as_of: Any,
    principal: str = "embedded",
    receipts: bool | None = None,
) -> Backend:
    """Open what `database` names; errors are those of the DB-API."""
    background.start()
    if isinstance(database, LocalDatabase):
        try:
            return _session(
                database, _nothing, Target(), timeout=timeout, cached_statements=cached_statements, as_of=as_of
            )
        except VerityError as error:
            raise translated(error) from error
    target = parse_target(database, uri=uri)
    try:
        if target.url:
            return open_remote(target.url, timeout=timeout, keys=keys, tenant=tenant, as_of=as_of)
        if not target.path and keys is None and region is None and principal == "embedded" and not receipts:
            local, let_go = open_memory(target.shared_name)
        else:
            local = _open_directory(
                target, keys=keys, tenant=tenant, name=name, region=region, principal=principal, receipts=receipts
            )
            let_go = local.close
        return _session(local, let_go, target, timeout=timeout, cached_statements=cached_statements, as_of=as_of)
    except VerityError as error:
        raise translated(error) from error
    except OSError as error:
        raise translated_os(error) from error


def _nothing() -> None:
    """The database is its owner's to close."""


def translated_os(error: OSError) -> OperationalError:
    """What a program sees where a data directory can't be made or read."""
    return OperationalError(f"{_UNABLE}: {error.strerror or error}")


def _open_directory(
    target: Target,
    *,
    keys: Any,
    tenant: int,
    name: str,
    region: str | None,
    principal: str,
    receipts: bool | None,
) -> LocalDatabase:
    path = target.path or MEMORY
    if target.path:
        place = Path(target.path)
        if target.must_exist and not place.exists():
            raise OperationalError(f"{_UNABLE}: there is no data directory {target.path}")
        if not place.absolute().parent.is_dir():
            raise OperationalError(f"{_UNABLE}: there is no directory {place.absolute().parent}")
        if place.is_file():
            raise OperationalError(f"{_UNABLE}: {target.path} is a file; a database of VerityDB's is a directory")
    return open_local(
        path,
        keys,
        name=name,
        tenant=tenant,
        region=region or DEFAULT_REGION,
        principal=principal,
        receipts=receipts,
    )


def _session(
    local: LocalDatabase,
    let_go: Callable[[], None],
    target: Target,
    *,
    timeout: float,
    cached_statements: int,
    as_of: Any,
) -> LocalBackend:
    try:
        if as_of is None:
            session = local.session(lock_timeout=timeout, cached_statements=cached_statements)
            leave: Callable[[], None] = partial(local.end, session)
        else:
            past = open_past(local, parse_moment(as_of), cached_statements=cached_statements)
            session, leave = past.session, past.end
        governor = local.governor(session, past=as_of is not None)
    except BaseException:
        let_go()
        raise

    def end() -> None:
        try:
            leave()
        finally:
            let_go()

    def end_quietly() -> None:
        with contextlib.suppress(VerityError):  # the node has ended, and all of its sessions with it
            end()

    return LocalBackend(
        session,
        local=local,
        governor=governor,
        read_only=target.read_only,
        end=end,
        abandon=lambda: in_background(end_quietly),
    )


def _text(database: Any) -> str:
    given = database.__fspath__() if hasattr(type(database), "__fspath__") else database
    if isinstance(given, bytes):
        return given.decode(errors="surrogateescape")
    if not isinstance(given, str):
        raise TypeError(f"expected str, bytes or os.PathLike object, not {type(given).__name__}")
    if "\0" in given:
        raise ValueError("embedded null byte")
    return given


def _parse_uri(text: str) -> Target:
    without_fragment = text.removeprefix("file:").partition("#")[0]
    raw, _, query = without_fragment.partition("?")
    if raw.startswith("//"):
        raw = "/" + raw[2:].partition("/")[2]
    path = unquote_to_bytes(raw.encode(errors="surrogateescape")).decode(errors="surrogateescape")
    options = {key: values[-1] for key, values in parse_qs(query).items()}
    mode = options.get("mode", "rwc")
    if mode not in ("ro", "rw", "rwc", "memory"):
        raise OperationalError(f"no such access mode: {mode}")
    if mode == "memory" or path in (MEMORY, ""):
        shared = options.get("cache") == "shared"
        return Target(shared_name=(path or MEMORY) if shared else "")
    read_only = mode == "ro" or options.get("immutable") == "1"
    return Target(path=path, read_only=read_only, must_exist=mode in ("ro", "rw"))
