"""What a run of row changes comes to: the rows that were there before and are gone, and those that are there now.

Applying the changes one by one isn't enough. Where a row's own update cascades to itself, the change that came second
is logged first; where keys are swapped, the state in between breaks a unique index. So each image that was removed
cancels an equal one that was added, in whatever order they came; what is left is deleted first and inserted then.

Images are equal only if their values are of the same class: 1 isn't 1.0, and 0.0 isn't -0.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from attrs import define, field

from vdb.changes import Image, Layout, RowChange

Located = tuple[int | None, Image]
"""A row: its rowid, None in a table without, and its image."""


@define
class TableEffect:
    """What happens to one table."""

    layout: Layout
    deleted: list[Located] = field(factory=list)
    inserted: list[Located] = field(factory=list)


@define
class _Row:
    """What was removed from and added to one place."""

    removed: list[Located] = field(factory=list)
    added: list[Located] = field(factory=list)


def net_effect(layouts: Sequence[Layout], changes: Sequence[RowChange]) -> list[TableEffect]:
    """The effect on each table, in the order in which they were first changed. No schema change lies in between."""
    tables: dict[str, tuple[Layout, dict[Hashable, _Row]]] = {}
    for change in changes:
        layout = layouts[change.layout]
        entry = tables.get(layout.table)
        if entry is None:
            entry = tables[layout.table] = (layout, {})
        rows = entry[1]
        if change.before is not None:
            removed = change.rowid_before, change.before
            _at(rows, layout, removed).removed.append(removed)
        if change.after is not None:
            added = change.rowid_after, change.after
            _at(rows, layout, added).added.append(added)
    return [_effect(layout, rows) for layout, rows in tables.values()]


def same_image(one: Image, other: Image) -> bool:
    """Whether two rows hold the same values, of the same classes."""
    return tuple(one) == tuple(other) and exact(one) == exact(other)


def exact(image: Image) -> tuple[Hashable, ...]:
    """Of equal images, and of no others, the same."""
    return tuple(repr(value) if type(value) is float else (type(value), value) for value in image)


def key_of(layout: Layout, row: Located) -> Hashable:
    """What tells a row from the others of its table."""
    rowid, image = row
    if rowid is not None:
        return rowid
    return tuple(image[layout.columns.index(name)] for name in layout.key)


def _at(rows: dict[Hashable, _Row], layout: Layout, located: Located) -> _Row:
    key = key_of(layout, located)
    row = rows.get(key)
    if row is None:
        row = rows[key] = _Row()
    return row


def _effect(layout: Layout, rows: dict[Hashable, _Row]) -> TableEffect:
    effect = TableEffect(layout)
    for row in rows.values():
        if len(row.removed) == 1 == len(row.added):
            if same_image(row.removed[0][1], row.added[0][1]):
                continue
        elif row.removed and row.added:
            _cancel(row)
        assert len(row.removed) <= 1, f"a row of table {layout.table!r} was removed more often than it was there"
        assert len(row.added) <= 1, f"a row of table {layout.table!r} was added where another is"
        effect.deleted += row.removed
        effect.inserted += row.added
    return effect


def _cancel(row: _Row) -> None:
    counts = Counter(exact(image) for _, image in row.added)
    counts.subtract(exact(image) for _, image in row.removed)
    row.removed = _left(row.removed, -counts)
    row.added = _left(row.added, +counts)


def _left(rows: list[Located], counts: Counter[tuple[Hashable, ...]]) -> list[Located]:
    """So many of each image."""
    kept: list[Located] = []
    for located in rows:
        image = exact(located[1])
        if counts[image] > 0:
            counts[image] -= 1
            kept.append(located)
    return kept
