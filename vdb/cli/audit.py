"""`vdb audit head|prove|verify|log`: evidence of what the log holds."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import asdict
from cyclopts import App
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, error_console, print_json, print_note, print_text
from vdb.crypto.record import RecordHeader, decode_header
from vdb.embedded.database import DEFAULT_REGION
from vdb.embedded.database import open as open_embedded
from vdb.embedded.keys import find_root_keys
from vdb.errors import ConfigError, CryptoError, EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import HASH_SIZE, leaf_hash
from vdb.evidence.note import VerifierKey, parse_note
from vdb.evidence.proof import LogProof
from vdb.evidence.trust import TrustPolicy
from vdb.node.evidence.auditing import LogAudit

app = App(name="audit", help="Signed heads of the log's trees, and proofs that hold without a server.")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@app.command
async def head(
    *,
    group: str = "",
    since: Path | None = None,
    key: list[str] | None = None,
    out: Path | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Fetch the signed head of a tenant's tree, and check that the log only grew since the last one.

    Keep what it prints: it is what nobody can go back behind. Exit code 1 if the tree isn't a continuation.

    Example: `vdb audit head --since last.note --key "$(cat node.vkey)" --out next.note`

    Parameters
    ----------
    group
        A region's name, or 'global'; by default the region of the node.
    since
        The head that was fetched before: the new one must continue it.
    key
        A node's key, as it was handed to you (vkey). May be given several times. Without one its own word counts.
    out
        Where to write the head.
    """
    keys = [VerifierKey.parse(text) for text in key or ()]
    known = None if since is None else parse_note(_read(since))
    async with options.tenant_client() as client:
        trusted = keys or [(await client.tree_head(group)).verifier]
        checked = await client.follow_tree(known, trusted, group)
    if out is not None:
        _write(out, str(checked.note))
    checkpoint = checked.checkpoint
    if options.json:
        print_json(
            {
                "origin": checkpoint.origin,
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
                "continues": since is not None,
                "key": str(checked.verifier),
                "note": str(checked.note),
            }
        )
    else:
        print_text(str(checked.note).rstrip("\n"))
        print_note(f"{checkpoint.size} records; key: {checked.verifier}")
    if not keys:
        print_note("no --key was given: this is the node's own word, until you compare its key")


@app.command
async def prove(*, stream: str, offset: int, out: Path | None = None, options: TenantOptions = TENANT) -> None:
    """Fetch the proof that an event's record is in the log, as a file that verifies without a server.

    Example: `vdb audit prove --stream notes --offset 3 --out note-3.tlog-proof`

    Parameters
    ----------
    stream
        The event's stream.
    offset
        Its offset.
    out
        Where to write the proof; by default it is printed.
    """
    async with options.tenant_client() as client:
        found = await client.prove(stream, offset)
    if out is not None:
        _write(out, str(found.proof))
    if options.json:
        print_json({"index": found.proof.index, "key": str(found.verifier), "proof": str(found.proof)})
    elif out is None:
        print_text(str(found.proof).rstrip("\n"))
    else:
        print_note(f"record {found.proof.index} of {found.proof.checkpoint.size}; key: {found.verifier}")


@app.command
def log(
    *,
    data_dir: Path,
    key_file: Path | None = None,
    region: str = DEFAULT_REGION,
    since: list[Path] | None = None,
    key: list[str] | None = None,
    json: bool = False,
) -> int:
    """Audit a stopped node's log as it is stored: read, open and hash every record. Exit code 1 if one isn't right.

    Example: `vdb audit log --data-dir data --key-file root.key --since last.note --key "$(cat node.vkey)"`

    Parameters
    ----------
    data_dir
        The data directory. No node may run on it.
    key_file
        A file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    region
        The region that it belongs to.
    since
        A head that was kept (`vdb audit head`): what is stored must begin with its tree. May be given several times.
    key
        Whose signatures on these heads count (vkey). May be given several times.
    json
        Print one object a log.
    """
    if not data_dir.is_dir():
        raise ConfigError(f"--data-dir: there is no directory {data_dir}")
    known = _known(since or [], [VerifierKey.parse(text) for text in key or ()])
    sound = True
    with open_embedded(data_dir, find_root_keys(key_file, option="--key-file"), region=region) as database:
        origins = {database.origin(group, tenant): (group, tenant) for group, tenant in database.audited_logs()}
        for origin in known.keys() - origins.keys():
            raise ConfigError(f"--since names a log that this node doesn't have: {origin}")
        for origin, (group, tenant) in origins.items():
            with _bar(shown=not json) as bar:
                task = bar.add_task(f"{group}, tenant {tenant}", total=None)

                def on_progress(done: int, total: int, bar: Progress = bar, task: TaskID = task) -> None:
                    bar.update(task, completed=done, total=total)

                found = database.audit_log(group, tenant, known.get(origin), on_progress)
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


def _known(files: list[Path], keys: list[VerifierKey]) -> dict[str, Checkpoint]:
    """The heads that were kept, by the origin of their log; of one log, the longest."""
    if bool(files) != bool(keys):
        raise ConfigError("--since and --key belong together: a head counts by whose signature it has")
    policy = TrustPolicy(logs=tuple(keys))
    found: dict[str, Checkpoint] = {}
    for file in files:
        checkpoint = policy.check(parse_note(_read(file)))
        if checkpoint.origin not in found or checkpoint.size > found[checkpoint.origin].size:
            found[checkpoint.origin] = checkpoint
    return found


def _tell_audit(found: LogAudit, kept: bool, json: bool) -> None:
    if json:
        print_json({**asdict(found), "root": found.root.hex(), "continues": kept and not found.findings})
        return
    sound = "as it was written" if not found.findings else f"{len(found.findings)} findings"
    print_text(
        f"{found.group}, tenant {found.tenant}: {found.records} records, {found.events} events, {found.size} B: {sound}"
    )
    if found.unopened:
        print_text(f"  {found.unopened} records can't be opened any more: their keys are gone")
    for finding in found.findings:
        print_text(f"  position {finding.position}{', ' if finding.place else ''}{finding.place}: {finding.what}")


@app.command
def verify(*, proof: Path, key: list[str] | None = None, trust: Path | None = None, json: bool = False) -> int:
    """Verify a proof offline: no node is asked. Exit code 1 if it doesn't hold.

    Example: `vdb audit verify --proof note-3.tlog-proof --key "$(cat node.vkey)"`

    Parameters
    ----------
    proof
        A file of `vdb audit prove`.
    key
        A key of the log (vkey), as it was handed to you. May be given several times.
    trust
        Instead: a file that says whose signatures count (C2SP tlog-policy), witnesses among them.
    json
        Print one object.
    """
    if bool(key) == (trust is not None):
        raise ConfigError("whose signature counts? Give --key, or a file with --trust")
    try:
        if trust is not None:
            policy = TrustPolicy.parse(_read(trust).decode("utf-8"))
        else:
            policy = TrustPolicy(logs=tuple(VerifierKey.parse(text) for text in key or ()))
        found = LogProof.parse(_read(proof))
        checkpoint = policy.check(found.note)
        header = _header(found.extra)
        if not found.holds_for(leaf_hash(found.extra)):
            raise EvidenceInvalid("the record isn't in the tree that was signed: its path leads to another root")
    except EvidenceInvalid as error:
        if json:
            print_json({"holds": False, "reason": str(error)})
        else:
            print_text(f"{proof}: it doesn't hold: {error}")
        return EXIT_FAILED
    told = _told(header)
    if json:
        print_json({"holds": True, "origin": checkpoint.origin, "size": checkpoint.size, "index": found.index, **told})
    else:
        print_text(f"it holds: record {found.index} of {checkpoint.size} in {checkpoint.origin}")
        for name, value in told.items():
            print_text(f"  {name.replace('_', ' '):12} {value}")
    return EXIT_OK


def _header(leaf_data: bytes) -> RecordHeader:
    try:
        return decode_header(leaf_data[:-HASH_SIZE])
    except CryptoError as error:
        raise EvidenceInvalid(f"the proof's extra data isn't a record's: {error}") from None


def _told(header: RecordHeader) -> dict[str, Any]:
    """What a header says in clear."""
    return {
        "tenant": header.tenant,
        "stream_id": header.stream,
        "offset": header.offset,
        "count": header.count,
        "data_class": header.data_class.label,
        "region": header.region,
        "time": (_EPOCH + timedelta(microseconds=header.time)).isoformat(),
    }


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from None


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from None
