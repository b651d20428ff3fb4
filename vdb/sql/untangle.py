"""The order of changes of entangled tables (see catalog.Nesting), put right after the fact.

A trigger captures a row's change after it happened. What other triggers or foreign keys did to the same row meanwhile
was captured before it, and then either
- happened before it (BEFORE triggers): SQLite still shows the row's image from before all of that as OLD, or
- happened after it (actions of foreign keys): it stands too late.
Both show as a break: an image before that isn't the row's last image after. A change that stands too late is moved to
where it fits, in front of the first broken one that begins with its result; what is broken still began with a stale
OLD, and gets the row's last image instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from vdb.changes import Image, Layout, Operation, RowChange, Step
from vdb.marks import mark
from vdb.sql.catalog import Nesting

_Row = tuple[object, ...]
_Known = dict[_Row, Image | None]


@frozen
class _Places:
    """Where a layout's key stands among its columns."""

    table: str
    key: tuple[int, ...]

    def row(self, rowid: int | None, image: Image) -> _Row:
        if rowid is not None:
            return (self.table, rowid)
        return (self.table, *(image[place] for place in self.key))


def untangle(layouts: tuple[Layout, ...], steps: list[Step], nestings: Sequence[Nesting]) -> list[Step]:
    """The steps in the order in which they happened. `nestings`: of the layouts."""
    places = [_Places(layout.table, tuple(layout.columns.index(name) for name in layout.key)) for layout in layouts]
    result: list[Step] = []
    run: list[Step] = []
    for step in steps:
        if isinstance(step, RowChange):
            run.append(step)
            continue
        # A table may be another afterwards.
        result += [*_untangle(run, places, nestings), step]
        run = []
    return result + _untangle(run, places, nestings)


def _untangle(steps: list[Step], places: list[_Places], nestings: Sequence[Nesting]) -> list[Step]:
    ordered: list[Step] = []
    known: _Known = {}
    broken: dict[_Row, list[RowChange]] = {}
    first: dict[_Row, list[RowChange]] = {}
    """Changes of rows of which nothing was known: they may be broken."""
    for step in steps:
        if not isinstance(step, RowChange) or not nestings[step.layout].entangled:
            ordered.append(step)
            continue
        old, new = _rows(step, places[step.layout])
        fits = _fits(step, old, new, known)
        later = None
        if nestings[step.layout].late and not fits:
            row = new if new is not None else old
            assert row is not None, "a change has a row"
            later = _too_early(step, broken.get(row, [])) or _too_early(step, first.get(row, []))
        if later is not None:
            mark("sql.untangled")
            ordered.insert(_index(ordered, later), step)
            if old is not None and old != new and _alike(known.get(old), step.before):
                known[old] = None
            for candidates in (*broken.values(), *first.values()):
                candidates[:] = [other for other in candidates if other is not later]
            continue
        for row in (old, new):
            if row is not None and not fits:
                broken.setdefault(row, []).append(step)
            elif row is not None and row not in known and _may_be_broken(step, nestings[step.layout]):
                first.setdefault(row, []).append(step)
        ordered.append(step)
        _apply(step, old, new, known)
    return _with_last_images(ordered, places, nestings)


def _rows(step: RowChange, places: _Places) -> tuple[_Row | None, _Row | None]:
    old = None if step.before is None else places.row(step.rowid_before, step.before)
    new = None if step.after is None else places.row(step.rowid_after, step.after)
    return old, new


def _fits(step: RowChange, old: _Row | None, new: _Row | None, known: _Known) -> bool:
    """Whether the row is, as far as is known, as the change found it."""
    if old is not None and old in known and not _alike(known[old], step.before):
        return False
    return new is None or new == old or known.get(new) is None


def _may_be_broken(step: RowChange, nesting: Nesting) -> bool:
    """Whether another change of the row may belong before this one, the first that is known of it."""
    if step.operation is Operation.DELETE:
        return nesting.hides_replace
    return step.operation is Operation.UPDATE


def _too_early(step: RowChange, candidates: list[RowChange]) -> RowChange | None:
    """The change that stands before this one, and found what this one left."""
    return next((later for later in candidates if _alike(later.before, step.after)), None)


def _apply(step: RowChange, old: _Row | None, new: _Row | None, known: _Known) -> None:
    if old is not None:
        known[old] = None
    if new is not None:
        known[new] = step.after


def _with_last_images(ordered: list[Step], places: list[_Places], nestings: Sequence[Nesting]) -> list[Step]:
    known: _Known = {}
    result: list[Step] = []
    for step in ordered:
        if isinstance(step, RowChange) and nestings[step.layout].entangled:
            old, new = _rows(step, places[step.layout])
            last = None if old is None else known.get(old)
            if last is not None and not _alike(last, step.before):
                mark("sql.stale_old")
                step = evolve(step, before=last)
            _apply(step, old, new, known)
        result.append(step)
    return result


def _index(ordered: list[Step], step: RowChange) -> int:
    return next(place for place, other in enumerate(ordered) if other is step)


def _alike(one: Image | None, other: Image | None) -> bool:
    """Whether two images are the same, storage classes included."""
    if one is None or other is None:
        return one is other
    return tuple(one) == tuple(other) and all(type(a) is type(b) for a, b in zip(one, other, strict=True))
