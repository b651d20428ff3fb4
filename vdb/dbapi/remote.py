"""A backend at nodes far away: `verity://HOST:PORT[,HOST:PORT...]/NAME?OPTIONS`.

Options
    tenant=1                the number of the tenant
    create=true             make the database if it is missing (PHI, in the region of the node)
    consistency=stale       reads take what the node has, which may be any; else nothing acknowledged is missed
    answer_within=60        seconds that a statement may take
    cert=, key=, ca=        PEM files, for nodes that aren't on this machine; `ca` alone where a token says who asks
    token_file=             a file with the token that says who asks; it is read for each new link to a node
    purpose=, reason=       of use, for policies and the audit log: `purpose` is a code of HL7 v3-ActReason

Rules
- Connections of one process to the same nodes, by the same caller, share a client, and its thread.
- Functions, collations and handlers of a program's own need SQLite in the same process: NotSupportedError.
- A statement's kind is told by its words. One that would begin a transaction by itself is prepared at the node first,
  once for each text, so that what SQLite says against it is said before.
- An interrupted statement takes its transaction along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
from attrs import frozen

from vdb.changes import Attribution, RawText
from vdb.client.connect import connect
from vdb.client.sync_face import SyncFace
from vdb.client.sync_sql import SyncRows, SyncSession
from vdb.dbapi.errors import NotSupportedError, OperationalError
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import ConfigError, SqlFailed, VerityError
from vdb.sql.diffing import TableDiff
from vdb.sql.explanation import Explanation
from vdb.sql.history import Version
from vdb.sql.keywords import leading_words, parse_transaction, statement_verb, tokens
from vdb.sql.moment import Moment
from vdb.sql.verdict import StatementKind, Verdict
from vdb.world.network import TlsConfig
from vdb.world.threads import Lock, in_background
from vdb.world.token_file import token_of
from vdb.world.using import Using

ANSWER_SECONDS = 60.0
SETS_PER_CALL = 1000
"""Parameter sets of `executemany` that one call takes to the node, within a transaction."""

_OPTIONS = (
    *("tenant", "create", "consistency", "answer_within"),
    *("cert", "key", "ca", "token_file", "purpose", "reason"),
)
_ROWS_CHANGED = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_KINDS = {
    "SELECT": StatementKind.READ,
    "VALUES": StatementKind.READ,
    "EXPLAIN": StatementKind.EXPLAIN,
    "PRAGMA": StatementKind.PRAGMA_READ,
    "CREATE": StatementKind.SCHEMA,
    "DROP": StatementKind.SCHEMA,
    "ALTER": StatementKind.SCHEMA,
    "BEGIN": StatementKind.BEGIN,
    "COMMIT": StatementKind.COMMIT,
    "ROLLBACK": StatementKind.ROLLBACK,
    "ROLLBACK TO": StatementKind.ROLLBACK_TO,
    "SAVEPOINT": StatementKind.SAVEPOINT,
    "RELEASE": StatementKind.RELEASE,
}


@frozen(kw_only=True)
class RemoteTarget:
    """What a URL names."""

    addresses: tuple[str, ...]
    name: str
    tenant: int
    create: bool
    stale: bool
    answer_within: float
    tls: TlsConfig | None
    token_file: str = ""
    purpose: str = ""
    reason: str = ""


def parse_url(url: str, tenant: int = 1) -> RemoteTarget:
    """What `verity://...` names. ConfigError for anything else."""
    parts = urlsplit(url)
    addresses = tuple(one for one in parts.netloc.split(",") if one)
    name = unquote(parts.path.strip("/"))
    if parts.scheme != "verity" or not addresses or not name or "/" in name:
        raise ConfigError(f"expected verity://HOST:PORT[,HOST:PORT...]/NAME, found {url!r}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for option in options:
        if option not in _OPTIONS:
            raise ConfigError(f"{url}: there is no option {option!r}; expected {', '.join(_OPTIONS)}")
    try:
        number = int(options.get("tenant", tenant))
        seconds = float(options.get("answer_within", ANSWER_SECONDS))
    except ValueError:
        raise ConfigError(f"{url}: `tenant` and `answer_within` are numbers") from None
    if options.get("consistency", "linearizable") not in ("linearizable", "stale"):
        raise ConfigError(f"{url}: `consistency` is 'linearizable' or 'stale'")
    files = [options.get(option, "") for option in ("cert", "key", "ca")]
    cert, key, ca = (Path(file) if file else None for file in files)
    if (any(files) and ca is None) or (cert is None) != (key is None):
        raise ConfigError(f"{url}: `cert`, `key` and `ca` belong together")
    return RemoteTarget(
        addresses=addresses,
        name=name,
        tenant=number,
        create=options.get("create", "false").lower() in ("1", "true", "yes"),
        stale=options.get("consistency") == "stale",
        answer_within=seconds,
        tls=None if ca is None else TlsConfig(cert=cert, key=key, ca=ca),
        token_file=options.get("token_file", ""),
        purpose=options.get("purpose", ""),
        reason=options.get("reason", ""),
    )


class RemoteBackend:
    """Implements `vdb.dbapi.backend.Backend`."""

    session = None
    read_only = False
    is_kept = False
    """The node asks and tells."""

    def __init__(self, session: SyncSession, let_go: Callable[[], None]) -> None:
        self._session = session
        self._let_go = let_go
        self._text: Any = str
        self.using = Using()

    @property
    def in_transaction(self) -> bool:
        return self._session.in_transaction

    @property
    def total_changes(self) -> int:
        return self._session.total_changes

    def verdict(self, sql: str) -> Verdict:
        words = leading_words(sql, 1)
        if not words:
            return Verdict(kind=StatementKind.EMPTY)
        word = statement_verb(sql) if words[0] == "WITH" else words[0]
        if word in _ROWS_CHANGED and not self.in_transaction:
            self._check(sql)
        step = parse_transaction(sql)
        if step is not None:
            return Verdict(kind=_KINDS[step.verb], begin_mode=step.mode, name=step.name)
        kind = _KINDS.get(word, StatementKind.WRITE)
        return Verdict(kind=kind, returns_rows=kind in (StatementKind.READ, StatementKind.EXPLAIN))

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return RemoteRows(self, self._told(lambda: self._session.execute(sql, _sent(sql, parameters))))

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Any:
        sets = [_sent(sql, one) for one in parameters]
        alone = not self.in_transaction and len(sets) > SETS_PER_CALL
        if alone:
            self.execute("BEGIN IMMEDIATE")
        try:
            found = self._told(lambda: self._session.executemany(sql, sets[:SETS_PER_CALL]))
            result = RemoteRows(self, found)
            for at in range(SETS_PER_CALL, len(sets), SETS_PER_CALL):
                some = sets[at : at + SETS_PER_CALL]
                result.add(self._told(partial(self._session.executemany, sql, some)))
        except BaseException:
            if alone:
                with suppress(VerityError):
                    self.rollback()
            raise
        if alone:
            self.commit()
        return result

    def commit(self) -> None:
        self._told(self._session.commit)

    def rollback(self) -> None:
        self._told(self._session.rollback)

    def attribute(self, attribution: Attribution) -> None:
        if attribution != self._session.attribution:
            self._session.attribution = attribution

    def read_text_as(self, factory: Any) -> None:
        self._text = factory

    def interrupt(self) -> None:
        self._session.interrupt()

    def notice(self) -> None:
        """The node looks after its session."""

    def history(self, table: str, key: Any) -> Sequence[Version]:
        found: Sequence[Version] = self._told(lambda: self._session.history(table, key))
        return found

    def explain(self, sql: str) -> Explanation:
        found: Explanation = self._told(lambda: self._session.explain(sql))
        return found

    def diff(self, first: Moment, second: Moment) -> Sequence[TableDiff]:
        return self._session.diff(first, second)

    def restore(self, name: str, moment: Moment) -> None:
        self._session.restore(name, moment)

    def close(self) -> None:
        try:
            with suppress(VerityError):  # a node that is gone has rolled back
                self._session.close(timeout=5.0)
        finally:
            self._let_go()

    def abandon(self) -> None:
        in_background(self.close)

    def shaped(self, rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Rows with their text as the program wants it."""
        factory = self._text
        if factory is str:
            for row in rows:
                for at, value in enumerate(row):
                    if isinstance(value, RawText):
                        raise OperationalError(f"Could not decode to UTF-8 column '{columns[at]}'")
            return rows
        return [tuple(_as_text(value, factory) for value in row) for row in rows]

    def _check(self, sql: str) -> None:
        """Have the node prepare a statement, without running it."""
        self._told(lambda: self._session.execute(f"EXPLAIN {sql}", (None,) * _parameter_count(sql)))

    def _told(self, work: Callable[[], Any]) -> Any:
        """Errors of the binding that aren't the DB-API's come back as what they were."""
        try:
            return work()
        except SqlFailed as error:
            plain = _PLAIN.get(error.kind)
            if plain is not None:
                raise plain(str(error)) from None
            raise


_PLAIN: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ValueError, TypeError, OverflowError, MemoryError)
}


class RemoteRows:
    """What a statement gave, in the form of a result of SQLite's."""

    cursor = None

    def __init__(self, backend: RemoteBackend, rows: SyncRows) -> None:
        self._backend = backend
        self.rows = rows
        self.rowcount = rows.rowcount
        self.lastrowid = rows.lastrowid
        columns = rows.columns
        declared = rows.declared or ("",) * len(columns or ())
        self.description = (
            None
            if columns is None
            else tuple(
                (name, kind or None, None, None, None, None, None) for name, kind in zip(columns, declared, strict=True)
            )
        )

    def add(self, rows: SyncRows) -> None:
        """What a later part of the same statement gave."""
        self.rowcount = -1 if -1 in (rows.rowcount, self.rowcount) else self.rowcount + rows.rowcount
        self.lastrowid = rows.lastrowid

    def fetchone(self) -> Any:
        """The next row, or None."""
        found = self.fetchmany(1)
        return found[0] if found else None

    def fetchmany(self, count: int) -> list[Any]:
        """Up to `count` rows; none at the end."""
        columns = self.rows.columns
        return [] if columns is None else self._backend.shaped(self.rows.fetchmany(count), columns)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        columns = self.rows.columns
        return [] if columns is None else self._backend.shaped(self.rows.fetchall(), columns)


def _as_text(value: Any, factory: Any) -> Any:
    if isinstance(value, str):
        return factory(value.encode())
    return factory(value.data) if isinstance(value, RawText) else value


def _parameter_count(sql: str) -> int:
    """How many parameters a statement has, counted as SQLite does."""
    names: dict[str, None] = {}
    highest = 0
    for token in tokens(sql):
        if token.kind != "variable":
            continue
        if token.text[0] == "?":
            highest = highest + 1 if token.text == "?" else max(highest, int(token.text[1:]))
        elif token.text not in names:
            names[token.text] = None
            highest += 1
    return highest


def _sent(sql: str, parameters: Any) -> Any:
    """Parameters as they travel: of a mapping, those that the statement names."""
    if not isinstance(parameters, Mapping):
        return tuple(parameters)
    names = dict.fromkeys(
        token.text[1:] for token in tokens(sql) if token.kind == "variable" and token.text[0] in ":@$"
    )
    return {name: parameters[name] for name in names if name in parameters or hasattr(type(parameters), "__missing__")}


# Clients that connections share ---------------------------------------------------------------------------------------

_lock = Lock()
_clients: dict[tuple[Any, ...], _SharedClient] = {}


class _SharedClient:
    """A client in a thread that doesn't keep the program from ending."""

    def __init__(self, target: RemoteTarget) -> None:
        async def main(ready: Callable[[Any], None]) -> None:
            client = connect(
                list(target.addresses),
                tls=target.tls,
                tenant=target.tenant,
                token=token_of(target.token_file),
                purpose=target.purpose,
                reason=target.reason,
            )
            async with client:
                ready(client)
                await anyio.sleep_forever()

        self._loop = LoopThread(main, name="vdb-client")
        self.face = SyncFace(self._loop.start(), self._loop.call)
        self.users = 0

    def close(self) -> None:
        self._loop.stop()


def open_remote(url: str, *, timeout: float, keys: Any, tenant: int, as_of: Any) -> RemoteBackend:
    """A session at the nodes that a URL names. Errors are those of `vdb.errors`.

    `timeout`: seconds to wait while others write.
    """
    if keys is not None:
        raise NotSupportedError("`keys` are for a data directory: nodes have their own")
    target = parse_url(url, tenant)
    key = (target.addresses, target.tenant, target.tls, target.token_file, target.purpose, target.reason)
    with _lock:
        shared = _clients.get(key)
        if shared is None:
            shared = _SharedClient(target)
            _clients[key] = shared
        shared.users += 1
    try:
        if target.create:
            shared.face.create_database(target.name, if_not_exists=True)
        session = shared.face.sql(
            target.name,
            lock_timeout=timeout,
            consistency="stale" if target.stale else "linearizable",
            as_of=as_of,
            timeout=target.answer_within,
        )
        session.__enter__()
    except BaseException:
        _let_go(key)
        raise
    return RemoteBackend(session, lambda: _let_go(key))


def _let_go(key: tuple[Any, ...]) -> None:
    with _lock:
        shared = _clients[key]
        shared.users -= 1
        if shared.users:
            return
        del _clients[key]
    shared.close()
