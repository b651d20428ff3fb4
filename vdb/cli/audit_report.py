"""`vdb audit report|accounting`: what auditors and patients ask for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from vdb.audit.accounting import YEARS, Accounting, account, years_before
from vdb.audit.comparing import compared, read_report
from vdb.audit.compiling import compile_report
from vdb.audit.entry import AuditEntry, Kind
from vdb.audit.printing import report_lines
from vdb.audit.search import TOKEN_PREFIX, AuditSearch
from vdb.cli.audit_common import cosigned_head, micros_of, now_micros, read_settings, witness_keys
from vdb.cli.files import read_file, write_file
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, print_text, visible
from vdb.client.audit_facts import FactFinder, ReportWanted
from vdb.client.audit_scan import FaceAudit
from vdb.client.client import Client
from vdb.client.pinning import check_continues
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import parse_note
from vdb.verifier.fhir import instant_of
from vdb.world.pinned import PinDirectory

DAYS = 90
_DAY = 86_400_000_000
_WIDTH_PIPED = 110


async def report(
    *,
    group: str = "",
    since: str = "",
    until: str = "",
    config: Path | None = None,
    pins: Path | None = None,
    witness: list[str] | None = None,
    witness_key: list[str] | None = None,
    for_: Annotated[str, Parameter(name="--for")] = "",
    against: Path | None = None,
    sign_off: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Print what the database does for each control, the evidence of it, what is missing, and what is left to you.

    It reads the whole audit log, hashes every record, and compares the root with the signed one.

    Example: `vdb audit report --since 2026-10-01 --pins ~/.vdb-pins --config node.toml`

    Example: `vdb audit report --since 2026-10-01 --against september.json`

    Parameters
    ----------
    group
        A region's name, or 'global'; by default the region of the node.
    since
        The period's beginning; by default 90 days ago.
    until
        Its end; by default now.
    config
        A node's configuration file, whose settings are to be shown.
    pins
        A directory where heads of logs are kept: this report's have to continue the last ones, and are kept for the
        next.
    witness
        The address of a witness that is to cosign the audit log's head. May be given several times.
    witness_key
        The witness's key (vkey), one for each.
    for
        Who has asked for it.
    against
        An earlier report, as --json printed it: what has changed since is told by control, and that the audit log
        still begins with the records that it had then is proven.
    sign_off
        A remark: you have gone through the report, and the log is to say so, with its SHA-256.
    """
    now = now_micros()
    settings, digest = read_settings(config)
    earlier = None if against is None else read_report(read_file(against))
    async with options.tenant_client() as client:
        name = group or (await client.status()).region
        audit = FaceAudit(client, name)
        pinned = await _pin(client, name, pins)
        head, witnesses = await cosigned_head(audit, witness or (), witness_keys(witness_key or ()), options)
        wanted = ReportWanted(
            now=now,
            since=micros_of(since, "--since") if since else now - DAYS * _DAY,
            until=micros_of(until, "--until") if until else now,
            group=name,
            asked_by=for_,
            secured=options.tls_ca is not None,
            settings=settings,
            settings_digest=digest,
            witnesses=witnesses,
            pinned=pinned,
        )
        made = compile_report(*await FactFinder(client, audit, FaceAudit(client, name, system=True), wanted).find(head))
        if earlier is not None:
            await _check_continued(audit, earlier)
            made = compared(made, earlier)
        leaf = None
        if sign_off is not None:
            leaf = await client.record_audit(
                "review", {"object": "compliance report", "digest": made.digest, "remark": sign_off}, name
            )
    if options.json:
        print_json({**made.as_json(), "sha256": made.digest, "signed_off_in_record": leaf})
        return
    width = shutil.get_terminal_size((_WIDTH_PIPED, 24)).columns if sys.stdout.isatty() else _WIDTH_PIPED
    for line in report_lines(made, min(width, 120)):
        print_text(visible(line))
    if leaf is not None:
        print_note(f"that you have signed it off is in record {leaf} of the audit log")


async def _check_continued(audit: FaceAudit, earlier: Mapping[str, Any]) -> None:
    """EvidenceInvalid unless the audit log begins with the one that an earlier report was about."""
    log = earlier["audit_log"]
    then = Checkpoint(log["origin"], log["size"], bytes.fromhex(log["root"]))
    try:
        head, path = await audit.consistency(then.size)
    except InvalidArgument as error:
        raise EvidenceInvalid(f"the audit log of the earlier report isn't there any more: {error}") from None
    check_continues(then, head.checkpoint, path)


async def accounting(
    *,
    patient: str,
    also: list[str] | None = None,
    requested: str = "",
    since: str = "",
    until: str = "",
    csv: Path | None = None,
    each: bool = False,
    group: str = "",
    options: TenantOptions = TENANT,
) -> None:
    """An accounting of disclosures for a patient (45 CFR 164.528): to whom what was given, in the last six years.

    Example: `vdb audit accounting --patient Patient/p-1 --requested 2026-11-03 --csv accounting.csv`

    Parameters
    ----------
    patient
        As the log names them.
    also
        Another name that they had there. May be given several times.
    requested
        When it was asked for, from which the 60 days count; by default now.
    since
        Its beginning; by default six years before.
    until
        Its end; by default when it was asked for.
    csv
        A file to write it to, as well.
    each
        Each disclosure by itself, not several to one recipient as one.
    group
        A region's name, or 'global'; by default the region of the node.
    """
    now = now_micros()
    asked = micros_of(requested, "--requested") if requested else now
    start = micros_of(since, "--since") if since else years_before(asked, YEARS)
    names, entries = [patient, *(also or ())], dict[str, AuditEntry]()
    async with options.tenant_client() as client:
        audit = FaceAudit(client, group)
        for name in names:
            await _collect(audit, AuditSearch(subject=name, kinds=(Kind.EXPORT.value,), from_time=start), entries)
    # The node has found the entries by the patient's tokens as well, which nobody here knows.
    tokens = [one for entry in entries.values() for one in entry.subjects if one.startswith(TOKEN_PREFIX)]
    found = account(
        [*names, *tokens],
        entries.items(),
        requested=asked,
        now=now,
        since=start,
        until=micros_of(until, "--until") if until else None,
        fold=not each,
    )
    if csv is not None:
        write_file(csv, found.csv().decode())
    if options.json:
        print_json(_as_json(found))
    else:
        _tell(found)


async def _collect(audit: FaceAudit, search: AuditSearch, entries: dict[str, AuditEntry]) -> None:
    at, size = 0, 1
    while at < size:
        page = await audit.page(at, search, sealed=False)
        for record in page.records:
            for number, entry in enumerate(record.decoded()):
                entries[f"{record.index}-{number}"] = entry
        at, size = page.next, page.size


def _tell(found: Accounting) -> None:
    print_text(f"Accounting of disclosures for {visible(found.patient)}, 45 CFR 164.528")
    print_text(f"from {instant_of(found.since)[:10]} to {instant_of(found.until)[:10]}")
    print_text()
    if found.disclosures:
        columns = ("when", "to whom", "what", "what for", "how often")
        print_table(
            columns,
            [
                (
                    instant_of(one.time)[:10],
                    ", ".join(filter(None, (one.recipient or "(not recorded)", one.address))),
                    one.description or "(not recorded)",
                    one.purpose or "(not recorded)",
                    "once" if one.times == 1 else f"{one.times} times, last on {instant_of(one.last)[:10]}",
                )
                for one in found.disclosures
            ],
        )
    else:
        print_text("No disclosure has to be accounted for.")
    print_note(
        f"asked for on {instant_of(found.requested)[:10]}, {found.days_elapsed} days ago; due on "
        f"{instant_of(found.due)[:10]}, once extended on {instant_of(found.due_extended)[:10]}"
    )
    for reason, count in sorted(found.left_out.items()):
        print_note(f"left out: {count}, {reason}")
    if found.kept_back:
        print_note(f"kept back for an agency, not for the patient to know: {found.kept_back}")
    if found.incomplete:
        print_note(f"something is missing in {len(found.incomplete)} of them: find it out before you send this")
    everybody = sum(one.about_all for one in found.disclosures)
    if everybody:
        print_note(f"about all patients, so that they count for this one as well: {everybody}")


def _as_json(found: Accounting) -> dict[str, object]:
    return {
        "patient": found.patient,
        "from": instant_of(found.since),
        "to": instant_of(found.until),
        "requested": instant_of(found.requested),
        "due": instant_of(found.due),
        "due_extended": instant_of(found.due_extended),
        "days_elapsed": found.days_elapsed,
        "disclosures": [
            {
                "entry": one.entry,
                "date": instant_of(one.time),
                "recipient": one.recipient,
                "address": one.address,
                "description": one.description,
                "purpose": one.purpose,
                "times": one.times,
                "last": instant_of(one.last) if one.times > 1 else "",
                "about_all": one.about_all,
                "lacks": list(one.lacks),
            }
            for one in found.disclosures
        ],
        "left_out": dict(found.left_out),
        "kept_back": found.kept_back,
    }


async def _pin(client: Client, group: str, pins: Path | None) -> dict[str, str]:
    """Check both trees against the heads that were kept, keep the new ones; which those were."""
    if pins is None:
        return {}
    directory = PinDirectory(pins)
    before: dict[str, str] = {}
    for family in ("audit", "data"):
        client.pins = None
        origin = (await client.tree_head(group, family=family)).checkpoint.origin
        kept = directory.load(origin)
        if kept is not None:
            before[origin] = f"{Checkpoint.parse(parse_note(kept).text).size} records"
        client.pins = directory
        await client.tree_head(group, family=family)
    return before
