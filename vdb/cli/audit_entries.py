"""`vdb audit entries|search`: what audit logs tell."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import to_builtins

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.audit.search import TOKEN_PREFIX
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, time_text
from vdb.errors import ConfigError

_COLUMNS = ("time", "who", "did", "what", "whose", "how many", "outcome", "why")


async def entries(
    *,
    group: str = "",
    first: int = 0,
    limit: int = 100,
    system: bool = False,
    options: TenantOptions = TENANT,
) -> None:
    """Show a tenant's audit log, record by record. Reading it is itself written down.

    Example: `vdb audit entries --tenant 1 --first 0`

    Parameters
    ----------
    group
        A region's name, or 'global'; by default the region of the node.
    first
        The leaf of the log's tree to begin with.
    limit
        How many records at most.
    system
        The log that tells what is about no tenant: members, policies, tenants that nobody knows.
    """
    if limit < 1:
        raise ConfigError(f"--limit: expected a number from 1 on, found {limit}")
    shown: list[tuple[int, AuditEntry]] = []
    async with options.tenant_client() as client:
        at, size, left = first, first + 1, limit
        while at < size and left > 0:
            page = await client.audit_entries(group, first=at, count=left, system=system)
            # What reading adds isn't read: it would never end.
            size = page.size if at == first else size
            for record in page.records:
                shown += [(record.index, entry) for entry in record.decoded()]
                if record.shredded:
                    print_note(f"record {record.index} can't be opened any more: its key was destroyed")
            left -= len(page.records)
            at = page.next
    if options.json:
        for index, entry in shown:
            print_json({"record": index, **to_builtins(entry)})
        return
    print_table(("record", *_COLUMNS), [(index, *_row(entry)) for index, entry in shown])
    if at < size:
        print_note(f"{size - at} records more: --first {at}")


async def search(
    *,
    subject: str = "",
    actor: str = "",
    kind: list[str] | None = None,
    since: str = "",
    until: str = "",
    group: str = "",
    system: bool = False,
    options: TenantOptions = TENANT,
) -> None:
    """Who saw this chart? Entries of a tenant's audit log that fit. The search is itself written down.

    Entries that count for everybody, such as a query over all patients, are among those of a subject.

    Example: `vdb audit search --subject patient-7 --since 2026-11-01`

    Parameters
    ----------
    subject
        Whose data.
    actor
        Who did it: a principal, or the person that a program named.
    kind
        What was done: read, query, write, create, deny, export, policy, consent, break-glass, review, key, erase, hold,
        retention, audit, admin, sign-in or application. May be given several times.
    since
        From this day or time on (ISO 8601; UTC unless it says otherwise).
    until
        Before it.
    group
        A region's name, or 'global'; by default the region of the node.
    system
        In the log that tells what is about no tenant.
    """
    kinds = tuple(kind or ())
    known = [one.value for one in Kind]
    for one in kinds:
        if one not in known:
            raise ConfigError(f"--kind: expected one of {', '.join(known)}; found '{one}'")
    async with options.tenant_client() as client:
        found = client.audit_search(
            group,
            subject=subject,
            actor=actor,
            kinds=kinds,
            since=_micros(since, "--since"),
            until=_micros(until, "--until"),
            system=system,
        )
        shown = [entry async for entry in found]
    if options.json:
        for entry in shown:
            print_json(to_builtins(entry))
        return
    print_table(_COLUMNS, [_row(entry) for entry in shown])
    erased = [entry for entry in shown if subject and _erases(entry)]
    if erased:
        print_note(
            f"this subject was erased on {time_text(erased[-1].time)[:10]}: the data can't be read any more. Entries "
            "of the audit log stay, and go on naming the subject: they show who had access before"
        )


def _erases(entry: AuditEntry) -> bool:
    return entry.kind is Kind.ERASE and entry.outcome is Outcome.OK and "dry-run" not in entry.detail


def _row(entry: AuditEntry) -> tuple[object, ...]:
    who = f"{entry.actor} for {entry.on_behalf_of}" if entry.on_behalf_of else entry.actor
    what = entry.object or ", ".join(entry.tables)
    why = " ".join(text for text in (entry.purpose, entry.reason, entry.code) if text)
    return (
        time_text(entry.time),
        who,
        entry.kind.value,
        what,
        ", ".join(map(_short, entry.subjects)),
        entry.count,
        entry.outcome.value,
        why,
    )


def _short(subject: str) -> str:
    """A token's first digits tell it from others; `--json` has all."""
    return f"{subject[: len(TOKEN_PREFIX) + 12]}..." if subject.startswith(TOKEN_PREFIX) else subject


def _micros(text: str, option: str) -> int:
    if not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: expected a day or a time such as 2026-11-01T08:00, found {text!r}") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000)
