"""The command: python3 verify.py [EXPORT] [--key VKEY] [--exporter-key VKEY] [--trust FILE]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vdb.verifier.archive import Archive
from vdb.verifier.bundle import Export, Verified
from vdb.verifier.faults import Fault
from vdb.verifier.notes import key_from_vkey, read_policy


def main(arguments: list[str] | None = None) -> int:
    """0: everything holds. 1: something doesn't, and in which file. 2: there is nothing to check."""
    parser = argparse.ArgumentParser(
        description="Verify an export of an audit log. No network and no database is needed."
    )
    parser.add_argument("export", nargs="?", default=str(Path(__file__).parent), help="a directory, or a .zip file")
    parser.add_argument("--key", action="append", default=[], help="the log's key (vkey), as it was handed to you")
    parser.add_argument("--exporter-key", action="append", default=[], help="the exporter's key (vkey)")
    parser.add_argument("--trust", help="a policy of your own: whose signatures count, witnesses among them")
    given = parser.parse_args(arguments)
    try:
        log_keys, exporter_keys = list(map(key_from_vkey, given.key)), list(map(key_from_vkey, given.exporter_key))
        trust = read_policy(Path(given.trust).read_bytes()) if given.trust else None
    except (OSError, Fault) as error:
        sys.stderr.write(f"there is nothing to check with: {error}\n")
        return 2
    try:
        names, read = open_export(Path(given.export))
        found = Export(names, read).verify(log_keys, exporter_keys, trust)
    except Fault as fault:
        sys.stdout.write(f"FAILED  {fault}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"there is nothing to check: {error}\n")
        return 2
    sys.stdout.write(told(found, vouched=bool(log_keys or trust), exporter_vouched=bool(exporter_keys)))
    return 0


def open_export(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """The names of an export's files, and how to read one. OSError; Fault for what is no archive of an export."""
    if path.is_dir():
        names = [one.relative_to(path).as_posix() for one in sorted(path.rglob("*")) if one.is_file()]
        # Python leaves these where a verifier is imported, and the verifier reads none of them.
        return [name for name in names if not name.startswith("__pycache__/verify.")], lambda name: (
            path / name
        ).read_bytes()
    archive = Archive(path)
    return archive.names, archive.read


def told(found: Verified, *, vouched: bool, exporter_vouched: bool) -> str:
    """What holds, and by whose word."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items())) or "none"
    lines = [
        "OK  every file is as it was exported, and every record that is shown is in the signed tree",
        f"  log          {found.origin}",
        f"  tree         {found.size} records, root {found.root.hex()}",
        f"  signed by    {', '.join(found.signers)}",
        f"  exported by  {found.exporter}, from {found.source}",
        f"  records      {found.records}: {found.opened} opened, {found.withheld} withheld, {found.shredded} shredded",
        f"  entries      {found.entries}: {kinds}",
        f"  AuditEvents  {found.events}; disclosures {found.disclosures}",
    ]
    lines += [
        f"  witness      {name} at {datetime.fromtimestamp(seconds, UTC).isoformat()}"
        for name, seconds in found.witnessed.items()
    ]
    lines.append(
        f"  complete     yes: all records {found.first} to {found.end - 1} of the tree"
        if found.complete and found.records
        else "  complete     no: this is a selection. It proves what is in it, and can't show that nothing was left out"
    )
    if found.withheld:
        lines.append(
            f"  note         what is shown of the {found.withheld} withheld records is the exporter's word: their "
            "hashes are in the tree, their contents concern others as well and weren't handed out"
        )
    if found.shredded:
        lines.append(
            f"  note         that the keys of the {found.shredded} shredded records were destroyed is the exporter's "
            "word: their hashes are in the tree, and nobody shows what they held"
        )
    if not vouched:
        lines.append("  note         the log's key is the export's own: compare it with the one you were given (--key)")
    if not exporter_vouched:
        lines.append("  note         the exporter's key is the export's own, too (--exporter-key)")
    return "\n".join(lines) + "\n"
