"""`vdb sql`: statements on a SQL database, or a conversation with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import vdb.dbapi
from vdb.cli.options import TENANT, TenantOptions, tls_config
from vdb.cli.output import EXIT_FAILED, print_error
from vdb.cli.sql.dots import print_explanation, run_dot
from vdb.cli.sql.printing import Form
from vdb.cli.sql.runner import Failure, Runner
from vdb.cli.sql.shell import converse
from vdb.embedded.keys import find_root_keys
from vdb.errors import ConfigError, VerityError
from vdb.policy.words import PURPOSES


def sql(
    statements: list[str] | None = None,
    /,
    *,
    database: str = "main",
    data_dir: Path | None = None,
    key_file: Path | None = None,
    file: Path | None = None,
    as_of: str | None = None,
    explain: bool = False,
    csv: bool = False,
    actor: str = "",
    purpose: str = "",
    options: TenantOptions = TENANT,
) -> int:
    """Run SQL on a database, or talk with it: without statements and in a terminal it asks for them.

    Statements may also be lines that begin with a dot, such as `.tables`; `.help` lists them. Each statement is a
    transaction of its own unless BEGIN says otherwise. Rows are printed as a table, tabs when piped, as CSV or as JSON.

    Example: `vdb sql "SELECT name FROM patients WHERE id = 7" --database clinic`

    Example: `vdb sql --data-dir data --database clinic --as-of 2026-03-01T12:00:00Z "SELECT count(*) FROM notes"`

    Parameters
    ----------
    statements
        What to run, in order; the first that fails ends it. Without any, standard input.
    database
        The database's name.
    data_dir
        A data directory to open here, instead of asking a node: nobody else may have it open.
    key_file
        With --data-dir: a file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    file
        A file with statements, run before the others.
    as_of
        The database as it was: an offset of its log, a position GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z.
    explain
        Don't run the statements: say what each would read, write and log.
    csv
        Print CSV, with a line of column names.
    actor
        On whose behalf: goes into the log with every change.
    purpose
        Why: goes into the log with every change. A code of HL7 v3-ActReason, such as TREAT, is the purpose of use, too.
    """
    if csv and options.json:
        raise ConfigError("--csv and --json: expected one of them, found both")
    scripts = _scripts(statements or (), file)
    form = Form.JSON if options.json else Form.CSV if csv else Form.TABLE
    talks = sys.stdout.isatty()
    try:
        connection = _connect(database, data_dir, key_file, as_of, actor, purpose, options)
    except Failure as error:
        return _failed(error, options.json)
    try:
        runner = Runner(connection, form, talks=talks)
        if scripts is None:
            converse(runner, f"{database}{f' as of {as_of}' if as_of else ''}: end statements with ;  .help lists more")
        for script in scripts or ():
            _run(runner, script, explain=explain)
    except Failure as error:
        return _failed(error, options.json)
    finally:
        connection.close()
    return 0


def _scripts(statements: Any, file: Path | None) -> list[str] | None:
    """What to run; None: ask for it."""
    scripts = [] if file is None else [file.read_text()]
    scripts += statements
    if scripts:
        return scripts
    return None if sys.stdin.isatty() else [sys.stdin.read()]


def _run(runner: Runner, script: str, *, explain: bool) -> None:
    if script.lstrip().startswith("."):
        run_dot(runner, script.strip())
    elif explain:
        print_explanation(runner, script)
    else:
        runner.run_script(script)


def _connect(
    database: str,
    data_dir: Path | None,
    key_file: Path | None,
    as_of: str | None,
    actor: str,
    purpose: str,
    options: TenantOptions,
) -> Any:
    common: dict[str, Any] = {
        "isolation_level": None,
        "tenant": options.tenant,
        "as_of": as_of,
        "actor": actor,
        "purpose": purpose,
    }
    if data_dir is not None:
        if not data_dir.is_dir():
            raise ConfigError(f"--data-dir: there is no directory {data_dir}")
        keys = find_root_keys(key_file, option="--key-file")
        return vdb.dbapi.connect(str(data_dir), keys=keys, name=database, **common)
    return vdb.dbapi.connect(_url(database, options, purpose), **common)


def _url(database: str, options: TenantOptions, purpose: str) -> str:
    if options.token and not options.token.startswith("@"):
        raise ConfigError("SQL takes a token from a file alone: expected --token @FILE")
    tls_config(options.tls_cert, options.tls_key, options.tls_ca)
    given = {
        "cert": options.tls_cert,
        "key": options.tls_key,
        "ca": options.tls_ca,
        "token_file": options.token.removeprefix("@"),
        "purpose": options.purpose or (purpose if purpose in PURPOSES else ""),
        "reason": options.reason,
    }
    said = {name: str(value) for name, value in given.items() if value}
    return f"verity://{options.address}/{quote(database, safe='')}{'?' if said else ''}{urlencode(said)}"


def _failed(error: BaseException, as_json: bool) -> int:
    cause = error.__cause__
    print_error(cause if isinstance(cause, VerityError) else str(error), as_json=as_json, code="SQL_FAILED")
    return EXIT_FAILED
