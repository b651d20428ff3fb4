"""`vdb erase`: destroy a subject's keys; list erasures, and check their certificates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclopts import App
from trio import to_thread

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text, time_text
from vdb.client.client import Client
from vdb.erasures import ErasureInfo
from vdb.errors import InvalidArgument, Timeout, UnknownTenant
from vdb.evidence.note import VerifierKey
from vdb.node.erasure.certificate import verify_certificate
from vdb.types import GLOBAL_GROUP

app = App(name="erase", help="Erase a subject: destroy the keys of everything about it, on all nodes, for good.")


@app.default
async def erase(
    *,
    subject: str,
    basis: str = "",
    yes: bool = False,
    wait: float = 60.0,
    group: str = "",
    options: TenantOptions = TENANT,
) -> int:
    """Erase a subject. Without `--yes` nothing is changed: it is a dry run, which tells what would be.

    Example: `vdb erase --tenant 1 --subject p-1 --basis "GDPR 17(1)(b)" --yes`

    Legal holds and retention that isn't over stand against it. The exit code is 1 then, and while a node has yet to
    acknowledge that its disk is rid of the keys.

    Parameters
    ----------
    subject
        Whose data.
    basis
        The legal ground. It stands in the certificate, so it names no person.
    yes
        Do it. There is no way back.
    wait
        Seconds to wait until all nodes have acknowledged; 0: not at all.
    group
        A region, or 'global'. Without it: the node's region, and the global group where that has data of the subject.
    """
    done: list[dict[str, Any]] = []
    async with options.tenant_client() as client:
        for name in [group] if group else ["", GLOBAL_GROUP]:
            found = await _erase_in(client, name, subject, basis, yes=yes, wait=wait, needed=bool(group) or not name)
            if found is not None:
                done.append(found)
    for one in done:
        if options.json:
            print_json(one)
        else:
            _print(one)
    if not yes and not options.json:
        print_note("nothing was changed: this was a dry run; say --yes to erase")
    return EXIT_FAILED if any(one["against"] or one.get("pending") for one in done) else EXIT_OK


async def _erase_in(
    client: Client, group: str, subject: str, basis: str, *, yes: bool, wait: float, needed: bool
) -> dict[str, Any] | None:
    try:
        dry = await client.erase(subject, basis, dry_run=True, group=group)
    except UnknownTenant:
        if needed:
            raise
        return None
    if not needed and not dry.report["keys"]:
        return None
    if not yes:
        return {**dry.report, "erased": False}
    begun = await client.erase(subject, basis, group=group)
    pending: tuple[int, ...] = ()
    certificate = ""
    try:
        info = await client.wait_erased(begun.erasure, group=group, timeout=max(wait, 0.001))
        certificate = info.certificate
    except Timeout:
        listed = await client.erasures(group=group)
        pending = next(one.pending for one in listed if one.erasure == begun.erasure)
    return {
        **begun.report,
        "erased": True,
        "erasure": begun.erasure,
        "pending": list(pending),
        "certificate": json.loads(certificate) if certificate else None,
    }


def _print(one: dict[str, Any]) -> None:
    verb = "erased" if one["erased"] else "would erase"
    print_text(f"{one['group']}: {verb} {one['events']} events of {len(one['streams'])} streams, {one['keys']} keys")
    for stream in one["streams"]:
        print_text(f"  {stream['stream']}: {stream['events']} events, offsets {stream['first']} to {stream['last']}")
    for reason in one["against"]:
        print_text(f"  against it: {reason}")
    if one["erased"]:
        nodes = ", ".join(map(str, one["pending"]))
        state = f"pending: node {nodes} has yet to acknowledge" if nodes else "done: all nodes have acknowledged"
        print_text(f"  erasure {one['erasure']}, {state}")


@app.command(name="list")
async def list_(*, group: str = "", options: TenantOptions = TENANT) -> int:
    """List erasures, oldest first: which are pending, and on which nodes. The exit code is 1 while any is.

    Example: `vdb erase list --tenant 1`

    Parameters
    ----------
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        found = await client.erasures(group=group)
    if options.json:
        for one in found:
            print_json(as_json(one))
    else:
        print_table(
            ("erasure", "when", "basis", "keys", "state"),
            [(one.erasure, time_text(one.time), one.basis, one.keys, _state(one)) for one in found],
        )
    return EXIT_FAILED if any(one.pending for one in found) else EXIT_OK


@app.command
async def certificate(*, erasure: int, out: Path, group: str = "", options: TenantOptions = TENANT) -> None:
    """Write the certificate of an erasure to a file.

    Example: `vdb erase certificate --tenant 1 --erasure 1 --out erasure-1.json`

    Parameters
    ----------
    erasure
        Its number.
    out
        The file.
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        found = [one for one in await client.erasures(group=group) if one.erasure == erasure]
    if not found:
        raise InvalidArgument(f"there is no erasure {erasure}")
    if not found[0].certificate:
        raise InvalidArgument(f"erasure {erasure} is {_state(found[0])}: it has no certificate yet")
    await to_thread.run_sync(out.write_text, found[0].certificate + "\n")
    if options.json:
        print_json({"erasure": erasure, "file": str(out)})
    else:
        print_text(f"{out}: the certificate of erasure {erasure}")


@app.command
def verify(file: Path, /, *, key: str = "") -> None:
    """Check a certificate: its signature, and that of each node's acknowledgement. Needs no node.

    Example: `vdb erase verify erasure-1.json --key NODE'S-KEY`

    Parameters
    ----------
    file
        The certificate.
    key
        The key of the node that signed it, as `vdb audit head` shows it. Without it, the one in the file is believed.
    """
    text = file.read_text()
    try:
        given = key or json.loads(text)["key"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{file}: this isn't the certificate of an erasure") from error
    found = verify_certificate(text, VerifierKey.parse(given))
    nodes = ", ".join(str(ack["node"]) for ack in found["acknowledgements"])
    print_text(
        f"erasure {found['erasure']} of tenant {found['tenant']} in {found['group']}: acknowledged by node {nodes}"
    )
    remains = found["remains"]
    if "leaves" in remains:
        leaves = ", ".join(first if first == last else f"{first} to {last}" for first, last in remains["leaves"])
        print_text(f"  basis: {found['basis']}; {len(found['keys'])} keys destroyed")
        sealed = remains["pruned"]["sealed-bytes"]
        print_text(f"  leaves that are left of it: {leaves or 'none'}; sealed bytes: {sealed}")
        print_text(f"  backups: {remains['backups']['horizon']}")
    if not key:
        print_note("no --key was given: this is the file's own word, until you compare its key")


def _state(one: ErasureInfo) -> str:
    return f"pending on node {', '.join(map(str, one.pending))}" if one.pending else "done"


def as_json(one: ErasureInfo) -> dict[str, Any]:
    """An erasure as the object that commands print."""
    return {
        "erasure": one.erasure,
        "subject_token": one.subject_token.hex(),
        "basis": one.basis,
        "time": one.time,
        "keys": one.keys,
        "pending": list(one.pending),
        "certificate": json.loads(one.certificate) if one.certificate else None,
    }
