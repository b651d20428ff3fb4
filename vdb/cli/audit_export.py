"""`vdb audit export|verify-export|cosign`: evidence that is handed to somebody who has no database."""

from __future__ import annotations

import shutil
from pathlib import Path

from vdb.audit.bundle import ExportAbout
from vdb.audit.fhir import PATIENTS_MAX, Place
from vdb.audit.search import AuditSearch
from vdb.cli.archiving import pack
from vdb.cli.audit_common import cosigned_head, micros_of, now_micros, witness_keys
from vdb.cli.exporting import export_source
from vdb.cli.files import write_file
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_text
from vdb.client.audit_export import Exported, export_log
from vdb.client.audit_scan import FaceAudit, prove_record
from vdb.errors import ConfigError
from vdb.evidence.note import VerifierKey
from vdb.types import GLOBAL_GROUP, DataClass
from vdb.verifier.bundle import DATA_CLASSES, Export
from vdb.verifier.faults import Fault
from vdb.verifier.main import open_export, told
from vdb.verifier.notes import key_from_vkey, read_policy
from vdb.world.signing_keys import read_signing_key

_WRITE_BYTES = 256 * 1024


async def export(
    *,
    out: Path,
    sign_key: Path,
    signer: str,
    group: str = "",
    first: int = 0,
    end: int | None = None,
    subject: str = "",
    actor: str = "",
    kind: list[str] | None = None,
    since: str = "",
    until: str = "",
    purpose: str = "HCOMPL",
    recipient: str = "",
    recipient_address: str = "",
    basis: str = "",
    description: str = "",
    organization: str = "",
    patients_max: int = PATIENTS_MAX,
    witness: list[str] | None = None,
    witness_key: list[str] | None = None,
    data_dir: Path | None = None,
    key_file: Path | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Write the audit log as files that prove themselves: FHIR, CSV, sealed records, proofs, and verify.py.

    That it was exported, what for and to whom, is an entry of the log before the files are there. Without a search all
    records of the range are in it, so that nobody can doubt that something was left out.

    Example: `vdb audit export --out audit-2026.zip --sign-key officer.key --signer officer.kim --recipient "OCR"`

    Example: `vdb audit export --data-dir data --key-file root.key --out last --sign-key officer.key --signer kim`

    Parameters
    ----------
    out
        A directory that isn't there yet, or a file NAME.zip.
    sign_key
        The key of who exports (`vdb witness key --exporter`).
    signer
        Whose key that is: the name that it was made for.
    group
        A region's name, or 'global'; by default the region of the node.
    first
        The first record, by its number in the tree.
    end
        Up to this record, which isn't in it; by default all there are.
    subject
        Only entries about this patient, and about all. May be searched for by name.
    actor
        Only what this principal did.
    kind
        Only entries of this kind: read, query, write, deny, export, ... May be given several times.
    since
        Only from this time on.
    until
        Only before this time.
    purpose
        What it is for: a code of HL7 v3-ActReason.
    recipient
        To whom it is given; stands in accountings of disclosures.
    recipient_address
        Where they are, if that is known.
    basis
        On what it is based, such as 164.512(d).
    description
        What is given, in a few words.
    organization
        Whose database it is: stands in AuditEvents of denials.
    patients_max
        For how many patients of one answer there is an AuditEvent each.
    witness
        The address of a witness, whose cosignature the export is to have. May be given several times.
    witness_key
        The witness's key (vkey), one for each.
    data_dir
        Instead of a node: the data directory of one that is stopped. What it knew to be committed is exported, signed
        with its own key; the export is in no log then.
    key_file
        With --data-dir: a file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    """
    partial = _free(out)
    search = AuditSearch(
        subject=subject,
        actor=actor,
        kinds=tuple(kind or ()),
        from_time=micros_of(since, "--since") if since else 0,
        to_time=micros_of(until, "--until") if until else 0,
    )
    keys, key = witness_keys(witness_key or ()), read_signing_key(sign_key)
    VerifierKey(signer, key.public)
    async with export_source(options, group, data_dir, key_file) as source:
        name = source.group
        head, _ = await cosigned_head(source.audit, witness or (), keys, options)
        policy_version, policy_text = await source.policy()
        about = ExportAbout(
            created=now_micros(),
            requested_by=await source.principal() or signer,
            purpose=purpose,
            region=name,
            data_class=DATA_CLASSES[DataClass.NON_PHI if name == GLOBAL_GROUP else DataClass.PHI],
            first=first,
            end=head.checkpoint.size if end is None else end,
            complete=search.is_empty,
            filter=_in_words(search),
            disclosure_basis=basis,
            recipient=recipient,
            policy_version=policy_version,
            policy_text=policy_text,
            source=source.source,
            place=Place(region=name, organization=organization, address=source.address, patients_max=patients_max),
            witnesses=keys,
        )
        files = _Files(partial)
        try:
            done = await export_log(source.audit, head, head.note, about, (signer, key), files.append, search)
            files.close()
            leaf = await source.record(
                {
                    "subjects": [subject] if subject else ["*"],
                    "count": done.entries,
                    "digest": done.digest.hex(),
                    "object": "audit log",
                    "recipient": recipient,
                    "recipient-address": recipient_address,
                    "disclosure-basis": basis,
                    "disclosure-purpose": purpose,
                    "description": description or f"audit log, records {about.first} to {about.end}",
                    "manifest": done.digest.hex(),
                }
            )
            _put(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    _tell_export(out, done, leaf, options.json)


def verify_export(
    *,
    export: Path,
    key: list[str] | None = None,
    exporter_key: list[str] | None = None,
    trust: Path | None = None,
    json: bool = False,
) -> int:
    """Verify an export offline, as its own verify.py does. Exit code 1 if something doesn't hold: the file is named.

    Example: `vdb audit verify-export --export audit-2026.zip --key "$(cat node.vkey)"`

    Parameters
    ----------
    export
        A directory, or a file NAME.zip, of `vdb audit export`.
    key
        The log's key (vkey), as it was handed to you. May be given several times.
    exporter_key
        The exporter's key.
    trust
        A file that says whose signatures count (C2SP tlog-policy), witnesses among them.
    json
        Print one object.
    """
    try:
        log_keys, exporters = list(map(key_from_vkey, key or ())), list(map(key_from_vkey, exporter_key or ()))
        policy = None if trust is None else read_policy(trust.read_bytes())
    except (OSError, Fault) as error:
        raise ConfigError(f"there is nothing to verify with: {error}") from None
    try:
        names, read = open_export(export)
        found = Export(names, read).verify(log_keys, exporters, policy)
    except Fault as fault:
        if json:
            print_json({"holds": False, "file": fault.file, "reason": fault.what})
        else:
            print_text(f"{export}: it doesn't hold: {fault}")
        return EXIT_FAILED
    except OSError as error:
        raise ConfigError(f"there is nothing to verify: {error}") from None
    if json:
        print_json({"holds": True, **vars(found), "root": found.root.hex()})
    else:
        print_text(told(found, vouched=bool(log_keys or policy), exporter_vouched=bool(exporters)).rstrip("\n"))
    return EXIT_OK


async def prove_entry(
    *, record: int, out: Path | None = None, group: str = "", options: TenantOptions = TENANT
) -> None:
    """Fetch the proof that a record is in the audit log, as a file that verifies without a server: `vdb audit verify`.

    Whoever was told that they were written down, can have it proven.

    Example: `vdb audit prove-entry --record 12 --out access-12.tlog-proof`

    Parameters
    ----------
    record
        The record's number, as `vdb audit entries`, `search` and `export` tell it.
    out
        Where to write the proof; by default it is printed.
    group
        A region's name, or 'global'; by default the region of the node.
    """
    async with options.tenant_client() as client:
        audit = FaceAudit(client, group)
        head = await audit.head()
        proof = await prove_record(audit, head, record)
    if out is not None:
        write_file(out, str(proof))
    if options.json:
        print_json({"record": record, "key": str(head.verifier), "proof": str(proof)})
    elif out is None:
        print_text(str(proof).rstrip("\n"))
    else:
        print_note(f"record {record} of {proof.checkpoint.size}; key: {head.verifier}")


async def cosign(
    *,
    out: Path,
    witness: list[str],
    witness_key: list[str],
    group: str = "",
    options: TenantOptions = TENANT,
) -> None:
    """Have witnesses cosign the head of the audit log, and keep it. Exit code 1 if one knows another history.

    Run it each day: what a witness has cosigned, nobody can take back.

    Example: `vdb audit cosign --out head.note --witness http://127.0.0.1:7150 --witness-key "$(cat witness.vkey)"`

    Parameters
    ----------
    out
        Where to write the head.
    witness
        The address of a witness. May be given several times.
    witness_key
        The witness's key (vkey), one for each.
    group
        A region's name, or 'global'; by default the region of the node.
    """
    async with options.tenant_client() as client:
        head, witnesses = await cosigned_head(FaceAudit(client, group), witness, witness_keys(witness_key), options)
    write_file(out, str(head.note))
    if options.json:
        checkpoint = head.checkpoint
        print_json(
            {"origin": checkpoint.origin, "size": checkpoint.size, "key": str(head.verifier), "witnesses": witnesses}
        )
    else:
        print_text(f"{head.checkpoint.size} records, cosigned by {', '.join(witnesses)}")


def _free(out: Path) -> Path:
    """Where the files are until they are complete. ConfigError if there is something in their place."""
    if out.exists():
        raise ConfigError(f"--out: {out} is there already: expected a name for something new")
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    return partial


class _Files:
    """Appends to files of a directory, which is made for them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: dict[str, bytearray] = {}

    def append(self, name: str, data: bytes) -> None:
        waiting = self._waiting.setdefault(name, bytearray())
        waiting += data
        if len(waiting) >= _WRITE_BYTES:
            self._write(name, waiting)
            waiting.clear()

    def close(self) -> None:
        """Write what waits."""
        for name, waiting in self._waiting.items():
            self._write(name, waiting)
        self._waiting.clear()

    def _write(self, name: str, data: bytearray) -> None:
        file = self._directory / name
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("ab") as opened:
                opened.write(data)
        except OSError as error:
            raise ConfigError(f"--out: {file} can't be written: {error.strerror}") from None


def _put(partial: Path, out: Path) -> None:
    """Give the files their place: as a directory, or in an archive, always in the same order."""
    if out.suffix != ".zip":
        partial.rename(out)
        return
    beside = out.with_name(f"{out.name}.new")
    beside.unlink(missing_ok=True)
    pack(partial, beside)
    beside.rename(out)


def _in_words(search: AuditSearch) -> str:
    named = [("subject", search.subject), ("actor", search.actor), ("kinds", " ".join(search.kinds))]
    named += [("from", str(search.from_time or "")), ("to", str(search.to_time or ""))]
    return ", ".join(f"{name}={value}" for name, value in named if value)


def _tell_export(out: Path, done: Exported, leaf: int | None, json: bool) -> None:
    if json:
        print_json(
            {
                "out": str(out),
                "manifest": done.digest.hex(),
                "records": done.records,
                "entries": done.entries,
                "withheld": done.withheld,
                "leaf": leaf,
                "key": str(done.head.verifier),
            }
        )
        return
    print_text(f"{out}: {done.entries} entries in {done.records} records, of {done.head.checkpoint.size} in the log")
    if leaf is None:
        print_text(f"its manifest: sha256 {done.digest.hex()}")
        print_note("that it was exported is in no log, since no node runs: write it down elsewhere")
    else:
        print_text(f"its manifest, sha256 {done.digest.hex()}, is in record {leaf} of the log")
        print_note(f"that record can be proven by each later head: vdb audit prove-entry --record {leaf}")
    if done.withheld:
        print_note(f"the keys of {done.withheld} records were withheld: they concern others as well")
    print_note(f"the log's key, to be handed over by another way: {done.head.verifier}")
