"""`vdb audit log`, and `vdb audit verify --data-dir`: the logs of a stopped node as they are stored, both families."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vdb.cli.files import read_file
from vdb.cli.output import EXIT_FAILED, EXIT_OK, error_console, print_json, print_text
from vdb.cli.stopped import stopped_node
from vdb.errors import ConfigError
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import VerifierKey, parse_note
from vdb.evidence.trust import TrustPolicy
from vdb.node.evidence.auditing import LogAudit
from vdb.types import is_audit_log, tenant_of_log


async def log(
    *,
    data_dir: Path,
    key_file: Path | None = None,
    since: list[Path] | None = None,
    key: list[str] | None = None,
    json: bool = False,
) -> int:
    """Audit a stopped node's logs as they are stored: read, open and hash every record. Exit code 1 if one isn't right.

    Of each tenant the log of data and the audit log. What isn't right is told with its file, byte and record.

    Example: `vdb audit log --data-dir data --key-file root.key --since last.note --key "$(cat node.vkey)"`

    Parameters
    ----------
    data_dir
        The data directory. No node may run on it.
    key_file
        A file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    since
        A head that was kept (`vdb audit head`): what is stored must begin with its tree. May be given several times.
    key
        Whose signatures on these heads count (vkey). May be given several times.
    json
        Print one object a log.
    """
    known = _known(since or [], [VerifierKey.parse(text) for text in key or ()])
    sound = True
    async with stopped_node(data_dir, key_file) as node:
        origins = {node.origin(*one): one for one in node.logs()}
        for origin in known.keys() - origins.keys():
            raise ConfigError(f"--since names a log that this node doesn't have: {origin}")
        for origin, (group, number) in origins.items():
            family = "audit" if is_audit_log(number) else "data"
            with _bar(shown=not json) as bar:
                task = bar.add_task(f"{group}, tenant {tenant_of_log(number)}, {family}", total=None)

                def on_progress(done: int, total: int, bar: Progress = bar, task: TaskID = task) -> None:
                    bar.update(task, completed=done, total=total)

                found = await node.audit(group, number, known.get(origin), on_progress)
            sound = sound and not found.findings
            _tell_audit(found, origin in known, json)
    return EXIT_OK if sound else EXIT_FAILED


def _bar(*, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console(),
        transient=True,
        disable=not shown or not sys.stderr.isatty(),
    )


def _known(files: Sequence[Path], keys: Sequence[VerifierKey]) -> dict[str, Checkpoint]:
    """The heads that were kept, by the origin of their log; of one log, the longest."""
    if bool(files) != bool(keys):
        raise ConfigError("--since and --key belong together: a head counts by whose signature it has")
    policy = TrustPolicy(logs=tuple(keys))
    found: dict[str, Checkpoint] = {}
    for file in files:
        checkpoint = policy.check(parse_note(read_file(file)))
        if checkpoint.origin not in found or checkpoint.size > found[checkpoint.origin].size:
            found[checkpoint.origin] = checkpoint
    return found


def _tell_audit(found: LogAudit, kept: bool, json: bool) -> None:
    if json:
        print_json({**asdict(found), "root": found.root.hex(), "continues": kept and not found.findings})
        return
    sound = "as it was written" if not found.findings else f"{len(found.findings)} findings"
    what = "entries" if found.family == "audit" else "events"
    print_text(
        f"{found.group}, tenant {found.tenant}, {found.family}: {found.records} records, {found.events} {what}, "
        f"{found.size} B: {sound}"
    )
    if found.unopened:
        print_text(f"  {found.unopened} records can't be opened any more: their keys are gone")
    for finding in found.findings:
        print_text(f"  position {finding.position}{', ' if finding.place else ''}{finding.place}: {finding.what}")
