"""`vdb audit`: heads of the logs' trees and proofs from them; the rest of it is in the modules beside this one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from vdb.cli.audit_entries import entries, search
from vdb.cli.audit_stored import log
from vdb.cli.files import read_file, write_file
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_text
from vdb.crypto.record import RecordHeader, decode_header
from vdb.errors import ConfigError, CryptoError, EvidenceInvalid
from vdb.evidence.merkle import HASH_SIZE, leaf_hash
from vdb.evidence.note import VerifierKey, parse_note
from vdb.evidence.proof import LogProof
from vdb.evidence.trust import TrustPolicy
from vdb.types import TenantId, is_audit_log, tenant_of_log
from vdb.world.pinned import PinDirectory

app = App(name="audit", help="Who did what, signed heads of the logs' trees, and proofs that hold without a server.")
app.command(entries)
app.command(search)
app.command(log)
app.command("vdb.cli.audit_export:export", name="export")
app.command("vdb.cli.audit_export:verify_export", name="verify-export")
app.command("vdb.cli.audit_export:prove_entry", name="prove-entry")
app.command("vdb.cli.audit_export:cosign", name="cosign")
app.command("vdb.cli.audit_report:report", name="report")
app.command("vdb.cli.audit_report:accounting", name="accounting")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@app.command
async def head(
    *,
    group: str = "",
    family: Literal["data", "audit"] = "data",
    since: Path | None = None,
    key: list[str] | None = None,
    out: Path | None = None,
    pins: Path | None = None,
    cosigned: Annotated[bool, Parameter(negative="")] = False,
    options: TenantOptions = TENANT,
) -> None:
    """Fetch the signed head of a tenant's tree, and check that the log only grew since the last one.

    Keep what it prints: it is what nobody can go back behind. Exit code 1 if the tree isn't a continuation.

    Example: `vdb audit head --since last.note --key "$(cat node.vkey)" --out next.note`

    Parameters
    ----------
    group
        A region's name, or 'global'; by default the region of the node.
    family
        The tree of the tenant's data, or that of its audit log.
    since
        The head that was fetched before: the new one must continue it.
    key
        A node's key, as it was handed to you (vkey). May be given several times. Without one its own word counts.
    out
        Where to write the head.
    pins
        A directory where heads are kept that were seen: this one has to continue the last, and is kept.
    cosigned
        The last head that the node's witnesses have signed ([audit] witnesses), instead of the tree as it is, which has
        to begin with it.
    """
    keys = [VerifierKey.parse(text) for text in key or ()]
    known = None if since is None else parse_note(read_file(since))
    async with options.tenant_client() as client:
        if pins is not None:
            client.pins = PinDirectory(pins)
            await client.tree_head(group, family=family)
        if cosigned:
            checked = await client.cosigned_head(group, family=family)
            if keys and not checked.note.verified_by(keys):
                raise EvidenceInvalid("the head isn't signed by a key that is trusted")
        else:
            trusted = keys or [(await client.tree_head(group, family=family)).verifier]
            checked = await client.follow_tree(known, trusted, group, family=family)
    if out is not None:
        write_file(out, str(checked.note))
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
        write_file(out, str(found.proof))
    if options.json:
        print_json({"index": found.proof.index, "key": str(found.verifier), "proof": str(found.proof)})
    elif out is None:
        print_text(str(found.proof).rstrip("\n"))
    else:
        print_note(f"record {found.proof.index} of {found.proof.checkpoint.size}; key: {found.verifier}")


@app.command
async def verify(
    *,
    proof: Path | None = None,
    data_dir: Path | None = None,
    key: list[str] | None = None,
    trust: Path | None = None,
    since: list[Path] | None = None,
    key_file: Path | None = None,
    json: bool = False,
) -> int:
    """Verify a proof offline, or all that a stopped node has stored. Exit code 1 if anything doesn't hold.

    Example: `vdb audit verify --proof note-3.tlog-proof --key "$(cat node.vkey)"`

    Example: `vdb audit verify --data-dir data --key-file root.key`

    Parameters
    ----------
    proof
        A file of `vdb audit prove`.
    data_dir
        A data directory, on which no node may run: each record of data and audit logs is read, opened and hashed again.
    key
        A key of the log (vkey), as it was handed to you. May be given several times.
    trust
        Instead: a file that says whose signatures count (C2SP tlog-policy), witnesses among them.
    since
        With --data-dir: a head that was kept (`vdb audit head`). May be given several times.
    key_file
        With --data-dir: a file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    json
        Print one object; with --data-dir one a log.
    """
    if (proof is None) == (data_dir is None):
        raise ConfigError("what is to be verified? Give --proof, or --data-dir")
    if data_dir is not None:
        return await log(data_dir=data_dir, key_file=key_file, since=since, key=key, json=json)
    assert proof is not None
    return _verify_proof(proof, key, trust, json)


def _verify_proof(proof: Path, key: list[str] | None, trust: Path | None, json: bool) -> int:
    if bool(key) == (trust is not None):
        raise ConfigError("whose signature counts? Give --key, or a file with --trust")
    try:
        if trust is not None:
            policy = TrustPolicy.parse(read_file(trust).decode("utf-8"))
        else:
            policy = TrustPolicy(logs=tuple(VerifierKey.parse(text) for text in key or ()))
        found = LogProof.parse(read_file(proof))
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
        "tenant": tenant_of_log(TenantId(header.tenant)),
        "log": "audit" if is_audit_log(TenantId(header.tenant)) else "data",
        "stream_id": header.stream,
        "offset": header.offset,
        "count": header.count,
        "data_class": header.data_class.label,
        "region": header.region,
        "time": (_EPOCH + timedelta(microseconds=header.time)).isoformat(),
    }
