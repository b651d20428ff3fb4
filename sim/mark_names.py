"""All marks that the product's source holds: what a sweep compares with the marks that it reached."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from sim.revision import ROOT


@cache
def mark_names(package: Path = ROOT / "vdb") -> tuple[str, ...]:
    """The names in `mark("...")` calls, sorted. A name that isn't a literal can't be counted, and is an error."""
    found: dict[str, None] = {}
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark(" not in source:
            continue  # most modules have none, and to read them all takes seconds
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "mark":
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{path.name}:{node.lineno}: a mark's name is a literal"
                found[str(argument.value)] = None
    return tuple(sorted(found))
