"""What all SQL clients of a run share: the grammar, their deeds, and how much is left to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import trio
from attrs import define, field

from sim.cluster import Cluster
from sim.machine import Machine
from sim.options import Options
from sim.sql.deeds import Deed, Deeds, Fate
from sim.sql.grammar import Grammar
from sim.sql.model import Dump
from sim.sql.shapes import with_needs
from sim.trace import Trace
from sim.verdict import Verdict
from vdb.types import GLOBAL_GROUP, DataClass, GroupId

TENANT = 1
DATABASE = "clinic"


@define(eq=False, kw_only=True)
class SqlLoad:
    """`head` tells the end of the database's stream, as far as it was committed anywhere. `tell` wakes the nemesis."""

    options: Options
    cluster: Cluster
    random: Random
    verdict: Verdict
    trace: Trace
    region: str
    head: Callable[[], int]
    past: Callable[[], Mapping[int, Dump]]
    """What the log's replay held at the end of each transaction."""
    tell: Callable[[], None]
    deeds: Deeds = field(factory=Deeds)
    grammar: Grammar = field(init=False)
    group: str = field(init=False)
    data_class: DataClass = field(init=False)
    foreign_keys: bool = field(init=False)
    """Whether all sessions enforce them. Rows that broke one while they were off make SQLite count differently where a
    table has triggers, and where it has none."""
    left: int = field(init=False)
    made: trio.Event = field(factory=trio.Event)
    """Set when the database and its tables are there."""

    def __attrs_post_init__(self) -> None:
        options = self.options
        self.left = options.sql_deeds if options.sql else 0
        drawn = self.random.random()
        raw = Random(f"{drawn}/raw") if options.sql_raw_text else None
        self.grammar = Grammar(Random(f"{drawn}/grammar"), options.sql_mix, raw)
        self.foreign_keys = self.random.random() < 0.85
        self.data_class = DataClass.NON_PHI if options.sql_global else DataClass.PHI
        self.group = str(GLOBAL_GROUP) if options.sql_global else self.region

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / max(1, self.options.sql_deeds) if self.options.sql else 1.0

    @property
    def shapes(self) -> list[str]:
        """Of the tables that are made first."""
        return [shape.name for shape in with_needs(self.options.sql_shapes)]

    def primary(self) -> Machine | None:
        """Whom a client that asks around finds; of several that think so, the first."""
        for machine in self.cluster.up:
            group = machine.node.groups.get(GroupId(self.group)) if machine.node is not None else None
            if group is not None and group.not_serving() is None:
                return machine
        return None

    def end(self, deed: Deed, fate: Fate, refusal: str = "") -> None:
        """A deed's end, as its client knows it."""
        assert deed.fate is Fate.PENDING
        deed.fate, deed.refusal, deed.head = fate, refusal, self.head()
        if fate is Fate.DONE:
            self.deeds.settled = max(self.deeds.settled, deed.next_offset)
        answers = tuple("" if said.answer is None else said.answer.error for said in deed.said)
        self.trace.add(f"q{deed.client}", deed.script.kind, deed.number, fate.value, refusal, deed.next_offset, answers)
        self.tell()
