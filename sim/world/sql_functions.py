"""SQL functions that would read the machine's clock or its randomness, replaced by ones that the run decides.

`random` and `randomblob` draw from the node's entropy. Every date function takes 'now' (also where it is left out)
from `now_us`, the time of the op, and leaves the rest to SQLite's own function on a helper connection. 'localtime' and
'utc' do nothing: the zone of a simulation is UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

from vdb.ports import Connection
from vdb.projections.store import open_plain_memory

_DATE_FUNCTIONS = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1, "timediff": 0}
"""Name to the number of arguments that come before the time."""

_CURRENT = {
    "current_timestamp": "%Y-%m-%d %H:%M:%S",
    "current_date": "%Y-%m-%d",
    "current_time": "%H:%M:%S",
}
_ZONES = ("localtime", "utc")


def install(connection: Connection, random: Random, now_us: Callable[[], int]) -> None:
    """Replace the functions on one connection."""
    target = cast(Any, connection)
    target.create_function("random", 0, lambda: random.getrandbits(64) - 2**63)
    target.create_function("randomblob", 1, lambda size: random.randbytes(max(1, int(size))))
    helper = open_plain_memory()
    for name, before in _DATE_FUNCTIONS.items():
        target.create_function(name, -1, _date_function(helper, name, before, now_us), deterministic=True)
    for name, form in _CURRENT.items():
        target.create_function(name, 0, _current(form, now_us), deterministic=True)
    # Replacements made by a program count as unsafe in defaults and triggers, where the built-in ones are safe.
    connection.execute("PRAGMA trusted_schema = ON")


def _current(form: str, now_us: Callable[[], int]) -> Callable[[], str]:
    return lambda: datetime.fromtimestamp(now_us() // 1_000_000, UTC).strftime(form)


def _date_function(helper: Connection, name: str, before: int, now_us: Callable[[], int]) -> Callable[..., Any]:
    def compute(*arguments: Any) -> Any:
        given = [a for a in arguments if not (isinstance(a, str) and a.lower() in _ZONES)]
        if len(given) == before and name != "timediff":
            given.append("now")
        given = [_now_text(now_us()) if isinstance(a, str) and a.lower() == "now" else a for a in given]
        return helper.execute(f"SELECT {name}({', '.join('?' * len(given))})", given).fetchone()[0]

    return compute


def _now_text(now_us: int) -> str:
    seconds, micros = divmod(now_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{micros // 1000:03d}"
