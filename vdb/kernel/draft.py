"""A state in the making: what `apply` changes while it executes the requests of one op.

A draft is made from a `State`, changed by the rules request by request, and frozen into the next `State`. It exists
because a frozen value for each change would cost more than the request: a map that is open for changes takes one in
a tenth of the time of a new map, and what thirty requests of a batch do to one row is copied into the tree once.

Rules
- `start` begins each request; the constructor begins the first. Times are microseconds UTC and strictly increase.
- The draft itself is a `View` of the rows as they are now. `base` is the state before the request: a rule that decides
  by it asks before it changes anything.
- A table that was changed is open and can't be walked: `settled` closes it.
- A request that must have an entry in its tenant's audit log owes it until the op's `AuditAppend` pays. An op that
  ends in debt isn't one.
"""

from __future__ import annotations

from immutables import Map
from immutables._protocols import MapMutation

from vdb.kernel.effect import Effect, WakeProjection
from vdb.kernel.state import Changes, Rows, State
from vdb.kernel.tables import Table
from vdb.kernel.view import View
from vdb.types import TenantId


class Draft(View):
    """See the module's docstring. Effects of all requests are collected here, in order."""

    __slots__ = (
        "_base",
        "_changed",
        "_debts",
        "_open",
        "_touched",
        "_woken",
        "effects",
        "event_ids_max",
        "group",
        "last_timestamp",
        "must_be_told",
        "next_position",
        "next_session",
        "rows",
        "sessions_max",
    )

    rows: list[Rows | MapMutation[bytes, bytes]]

    def __init__(self, base: State, timestamp: int) -> None:
        self._base: State | None = base
        self.group = base.group
        self.sessions_max = base.sessions_max
        self.event_ids_max = base.event_ids_max
        self.next_position = base.next_position
        self.last_timestamp = base.last_timestamp
        self.next_session = base.next_session
        self.rows = list(base.rows)
        self.effects: list[Effect] = []
        self._changed: list[Changes | MapMutation[bytes, bytes | None]] = list(base.changed)
        self._open = [False] * len(self.rows)
        self._touched = False
        self._woken: dict[TenantId, None] = {}
        self._debts: dict[TenantId, int] = {}
        self.must_be_told = False
        """Whether the present request owes an entry."""
        self._advance(timestamp)

    def start(self, timestamp: int) -> None:
        """Begin the next request."""
        self._base = None
        self._touched = self.must_be_told = False
        self._advance(timestamp)

    def _advance(self, timestamp: int) -> None:
        assert timestamp > self.last_timestamp, f"expected a time above {self.last_timestamp}, found {timestamp}"
        self.last_timestamp = timestamp

    @property
    def base(self) -> State:
        """The rows before this request, as a value. Appends do without: it costs as much as they do."""
        if self._base is None:
            assert not self._touched, "the state before a request is asked for after a change"
            self._base = self.freeze()
        return self._base

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        if not self._open[table]:
            self._open_table(table)
        self._touched = True
        self.rows[table][key] = value  # type: ignore[index]
        self._changed[table][key] = value  # type: ignore[index]

    def remove(self, table: Table, key: bytes) -> None:
        """The row must be there."""
        if not self._open[table]:
            self._open_table(table)
        self._touched = True
        del self.rows[table][key]  # type: ignore[union-attr]
        self._changed[table][key] = None  # type: ignore[index]

    def wake(self, tenant: TenantId) -> None:
        """Whoever waits for this tenant's events has something to read: once for all requests."""
        if tenant not in self._woken:
            self._woken[tenant] = None
            self.effects.append(WakeProjection(tenant))

    def owe(self, tenant: TenantId) -> None:
        """The present request changes PHI: it must have an entry in this tenant's audit log. Once a request."""
        self.must_be_told = True
        self._debts[tenant] = self._debts.get(tenant, 0) + 1

    def pay(self, tenant: TenantId, requests: int) -> None:
        """So many requests of this tenant have their entry now: all that must."""
        owed = self._debts.pop(tenant, 0)
        assert owed == requests, (
            f"tenant {tenant}: {owed} requests must have an entry in its audit log, {requests} have"
        )

    def check_paid(self) -> None:
        """Assert that the op may end here."""
        assert not self._debts, f"requests of tenants {list(self._debts)} have no entry in their audit logs"

    def settled(self, table: Table) -> Rows:
        """A table's rows as they are now, to be walked."""
        if self._open[table]:
            self._settle(table)
        rows = self.rows[table]
        assert isinstance(rows, Map)
        return rows

    def freeze(self) -> State:
        """The rows as they are now, as a value. The draft may go on."""
        for table, is_open in enumerate(self._open):
            if is_open:
                self._settle(table)
        return State(
            group=self.group,
            sessions_max=self.sessions_max,
            event_ids_max=self.event_ids_max,
            next_position=self.next_position,
            last_timestamp=self.last_timestamp,
            next_session=self.next_session,
            rows=tuple(self.rows),  # type: ignore[arg-type]
            changed=tuple(self._changed),  # type: ignore[arg-type]
        )

    def _open_table(self, table: Table) -> None:
        self._open[table] = True
        self.rows[table] = self.rows[table].mutate()  # type: ignore[union-attr]
        self._changed[table] = self._changed[table].mutate()  # type: ignore[union-attr]

    def _settle(self, table: int) -> None:
        self._open[table] = False
        self.rows[table] = self.rows[table].finish()  # type: ignore[union-attr]
        self._changed[table] = self._changed[table].finish()  # type: ignore[union-attr]
