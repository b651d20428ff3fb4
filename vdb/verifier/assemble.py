"""`verify.py` from its parts: one file that needs the standard library and `cryptography`, and nothing of VerityDB."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PARTS = ("faults", "canonical", "trees", "notes", "records", "fhir", "disclosures", "archive", "bundle", "main")

_HEAD = '''#!/usr/bin/env python3
"""Verify an export of a VerityDB audit log: python3 verify.py [EXPORT] [--key VKEY]

It needs Python 3.11 and `cryptography`, no network, no database and nothing of VerityDB's. Read it before you run it,
or take it from somewhere else than the export that it is to check: what it checks stands at the top of its part
"bundle" below. Exit code 0: everything holds. 1: something doesn't, and the file is named. 2: nothing to check.
"""

from __future__ import annotations
'''

_TAIL = """

if __name__ == "__main__":
    sys.exit(main())
"""


@cache
def verifier_source() -> bytes:
    """The bytes of verify.py: the same for each export of one version."""
    folder = Path(__file__).parent
    imports: dict[str, None] = {}
    bodies: list[str] = []
    for part in _PARTS:
        own, body = _split((folder / f"{part}.py").read_text(encoding="utf-8"))
        imports.update(dict.fromkeys(own))
        bodies.append(f"\n\n# ==== {part} {'=' * (110 - len(part))}\n\n{body.strip()}\n")
    return (_HEAD + "\n" + "\n".join(imports) + "\n" + "".join(bodies) + _TAIL).encode()


def _split(source: str) -> tuple[list[str], str]:
    """(imports of others than parts, all the rest) of a part, its docstring made a comment."""
    _, docstring, rest = source.split('"""', 2)
    imports: list[str] = []
    body: list[str] = []
    for line in rest.splitlines():
        if line.startswith(("import ", "from ")):
            assert line.startswith("from vdb.verifier.") or "vdb" not in line, f"a part needs nothing of ours: {line}"
            assert line.count("(") == line.count(")"), f"an import of a part is one line: {line}"
            if not line.startswith(("from vdb.", "from __future__")):
                imports.append(line)
        else:
            body.append(line)
    comment = "\n".join(f"# {line}".rstrip() for line in docstring.splitlines())
    return imports, comment + "\n\n" + "\n".join(body).strip()
