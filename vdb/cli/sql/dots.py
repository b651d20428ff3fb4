"""Commands of the shell itself, which begin with a dot."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from vdb.cli.output import print_json, print_table, print_text, time_text
from vdb.cli.sql.printing import Form, cell_text, json_cell, print_rows
from vdb.cli.sql.runner import Runner
from vdb.errors import InvalidArgument
from vdb.sql.names import INTERNAL_TABLES

_OURS = ", ".join(f"'{name}'" for name in INTERNAL_TABLES if not name.startswith("vdb_"))
_VISIBLE = f"name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'vdb\\_%' ESCAPE '\\' AND name NOT IN ({_OURS})"
TABLES = f"SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND {_VISIBLE} ORDER BY name"
_SCHEMA = (
    f"SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND {_VISIBLE} AND (? IS NULL OR lower(tbl_name) = lower(?)) "
    "ORDER BY tbl_name, type = 'table' DESC, name"
)


@frozen
class _Dot:
    usage: str
    about: str
    run: Callable[[Runner, Sequence[str]], None]


def run_dot(runner: Runner, line: str) -> None:
    """Run a line that begins with a dot. InvalidArgument for one that isn't known or lacks something."""
    try:
        name, *words = shlex.split(line)
    except ValueError as error:
        raise InvalidArgument(f"{line.split()[0]}: {error}") from None
    dot = DOTS.get(name)
    if dot is None:
        raise InvalidArgument(f"there is no command {name}: expected one of {', '.join(DOTS)}")
    dot.run(runner, words)


def _words(given: Sequence[str], least: int, most: int, usage: str) -> Sequence[str]:
    if not least <= len(given) <= most:
        raise InvalidArgument(f"expected {usage}")
    return given


def _help(_runner: Runner, _words_given: Sequence[str]) -> None:
    print_table(("command", "what it does"), [(dot.usage, dot.about) for dot in DOTS.values()])


def _tables(runner: Runner, words: Sequence[str]) -> None:
    _words(words, 0, 0, ".tables")
    print_rows(("table",), runner.query(TABLES), runner.form)


def _schema(runner: Runner, words: Sequence[str]) -> None:
    _words(words, 0, 1, ".schema [TABLE]")
    wanted = words[0] if words else None
    found = [row[0] for row in runner.query(_SCHEMA, (wanted, wanted))]
    if wanted is not None and not found:
        raise InvalidArgument(f"there is no table {wanted!r}")
    for sql in found:
        if runner.form is Form.JSON:
            print_json({"sql": sql})
        else:
            print_text(f"{sql};")


def _history(runner: Runner, words: Sequence[str]) -> None:
    table, *key = _words(words, 2, 9, ".history TABLE KEY ...")
    versions = runner.connection.history(table, tuple(_literal(word) for word in key))
    if not versions:
        raise InvalidArgument(f"table {table!r} never had a row with this key")
    print_versions(versions, runner.form)


def print_versions(versions: Sequence[Any], form: Form) -> None:
    """A row's versions, oldest first."""
    if form is Form.JSON:
        for version in versions:
            print_json(_version_json(version))
        return
    rows = []
    for version in versions:
        row = version.after if version.after is not None else version.before
        rows.append(
            (
                time_text(version.time),
                str(version.operation.name.lower()),
                version.attribution.actor,
                version.attribution.purpose,
                version.transaction.hex()[:12],
                str(version.next_offset),
                _shown(row),
            )
        )
    print_rows(("time", "operation", "actor", "purpose", "transaction", "offset", "row"), rows, form)


def _version_json(version: Any) -> dict[str, Any]:
    return {
        "time": time_text(version.time),
        "operation": version.operation.name.lower(),
        "actor": version.attribution.actor,
        "purpose": version.attribution.purpose,
        "metadata": dict(version.attribution.metadata),
        "transaction": version.transaction.hex(),
        "offset": version.next_offset,
        "before": _image(version.before),
        "after": _image(version.after),
    }


def _image(image: Any) -> dict[str, Any] | None:
    return None if image is None else {name: json_cell(value) for name, value in image.items()}


def _diff(runner: Runner, words: Sequence[str]) -> None:
    first, second = _words(words, 2, 2, ".diff MOMENT MOMENT")
    rows = [(found.table, row) for found in runner.connection.diff(first, second) for row in found.rows]
    if runner.form is Form.JSON:
        for table, row in rows:
            name = row.operation.name.lower()
            print_json({"table": table, "operation": name, "before": _image(row.before), "after": _image(row.after)})
        return
    shown = [(table, row.operation.name.lower(), _shown(row.before), _shown(row.after)) for table, row in rows]
    print_rows(("table", "operation", "before", "after"), shown, runner.form)


def _restore(runner: Runner, words: Sequence[str]) -> None:
    name, moment = _words(words, 2, 2, ".restore NAME MOMENT")
    runner.connection.restore(name, moment)


def _shown(row: Any) -> str:
    return "  ".join(f"{name}={cell_text(value)}" for name, value in (row or {}).items())


def _literal(word: str) -> Any:
    """A key as it is typed: a number where it reads as one, text otherwise; quotes make text of a number."""
    if len(word) >= 2 and word[0] == word[-1] == "'":
        return word[1:-1]
    try:
        return int(word)
    except ValueError:
        return word


def _mode(runner: Runner, words: Sequence[str]) -> None:
    (name,) = _words(words, 1, 1, ".mode table|csv|json")
    try:
        runner.form = Form(name)
    except ValueError:
        raise InvalidArgument(f"expected .mode table|csv|json; found {name!r}") from None


def _explain(runner: Runner, words: Sequence[str]) -> None:
    print_explanation(runner, " ".join(_words(words, 1, 10_000, ".explain STATEMENT")))


def print_explanation(runner: Runner, statement: str) -> None:
    """What a statement would read, write and log."""
    explanation = runner.connection.explain(statement)
    if runner.form is Form.JSON:
        print_json(explanation.as_json())
        return
    for heading, text in explanation.lines():
        print_text(f"{heading:10} {text}")


def _quit(_runner: Runner, _words_given: Sequence[str]) -> None:
    raise EOFError


DOTS = {
    ".help": _Dot(".help", "this list", _help),
    ".tables": _Dot(".tables", "tables and views", _tables),
    ".schema": _Dot(".schema [TABLE]", "the statements that made them", _schema),
    ".history": _Dot(".history TABLE KEY ...", "a row's versions: when, who, why ('7' is text, 7 a number)", _history),
    ".explain": _Dot(".explain STATEMENT", "what a statement would read, write and log", _explain),
    ".diff": _Dot(".diff MOMENT MOMENT", "rows that differ: offsets, GROUP:NUMBER or times", _diff),
    ".restore": _Dot(".restore NAME MOMENT", "make a new database, as this one was", _restore),
    ".mode": _Dot(".mode table|csv|json", "how rows are printed", _mode),
    ".quit": _Dot(".quit", "leave, as Ctrl-D does", _quit),
}
