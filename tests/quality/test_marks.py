"""Marks (`vdb.marks`) are literals of the form `package.branch`, each in one place, so that a sweep's report points."""

from __future__ import annotations

import ast
import re

FORM = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


def check_marks(sources: dict[str, ast.Module]) -> list[str]:
    found = []
    places: dict[str, str] = {}
    for path, tree in sources.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "mark"):
                continue
            place = f"{path}:{node.lineno}"
            match node.args:
                case [ast.Constant(value=str(name))] if not node.keywords:
                    if not FORM.fullmatch(name):
                        found.append(f"{place}: a mark reads package.branch; found {name!r}")
                    elif name in places:
                        found.append(f"{place}: the mark {name!r} stands at {places[name]} already")
                    places.setdefault(name, place)
                case _:
                    found.append(f"{place}: a mark is a literal string")
    return found


def test_marks_of_the_product(product_sources: dict[str, ast.Module]) -> None:
    found = check_marks(product_sources)
    assert not found, "\n" + "\n".join(found)


def test_bad_marks_are_found() -> None:
    bad = ast.parse('mark("wal.torn")\nmark("torn")\nmark("Wal.torn")\nmark(name)\nmark(f"wal.{x}")\nmark("wal.torn")')
    again = ast.parse('\nmark("wal.torn")')
    assert check_marks({"vdb/storage/wal.py": bad, "vdb/storage/x.py": again}) == [
        "vdb/storage/wal.py:2: a mark reads package.branch; found 'torn'",
        "vdb/storage/wal.py:3: a mark reads package.branch; found 'Wal.torn'",
        "vdb/storage/wal.py:4: a mark is a literal string",
        "vdb/storage/wal.py:5: a mark is a literal string",
        "vdb/storage/wal.py:6: the mark 'wal.torn' stands at vdb/storage/wal.py:1 already",
        "vdb/storage/x.py:2: the mark 'wal.torn' stands at vdb/storage/wal.py:1 already",
    ]


def test_good_marks_are_left_alone() -> None:
    assert check_marks({"vdb/a.py": ast.parse('mark("wal.torn")\nmark("wal.torn_header")\nother.mark(name)')}) == []
