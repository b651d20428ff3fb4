"""`vdb key create|next|retire|rotate|status`: root keys, and the rotation from one to the next.

vdb key next root.key        # on one machine: a new key in front; copy the file to all nodes, which read it again
vdb key rotate               # tenants' keys are wrapped by it, what is sealed from now on has new data keys
vdb key retire root.key      # once no node needs the key before: it asks them
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vdb.cli.options import NODE, Json, NodeOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text, time_text
from vdb.client.client import Client
from vdb.errors import ConfigError, InvalidArgument
from vdb.keys import ROTATION_ID_SIZE, KeyReport
from vdb.types import GroupId, Region
from vdb.world.entropy import RealEntropy
from vdb.world.key_files import add_next_key, create_key_file, create_kms_key_file, drop_other_keys
from vdb.world.key_providers import key_provider

app = App(name="key", help="Make root keys, rotate keys while nodes serve, and show where a rotation stands.")

_SETTLING_STEPS = 60

File = Annotated[Path, Parameter(help="The key file.")]


@app.command
def create(file: File, *, kms_key: str | None = None, region: str | None = None, json: Json = False) -> None:
    """Make a root key: in a file of mode 0600, or wrapped by a key of AWS KMS that never leaves it.

    Example: `vdb key create root.key`

    Example: `vdb key create root.kms --kms-key alias/verity --region ap-southeast-2`

    Parameters
    ----------
    kms_key
        An ARN, an id or an alias of the KMS key that is to wrap it.
    region
        With --kms-key: the region of VerityDB that it is for. It opens for no other.
    """
    if kms_key is None:
        create_key_file(file)
    elif region is None:
        raise ConfigError("a root key in AWS KMS is bound to a region: expected --region, found none")
    else:
        create_kms_key_file(file, kms_key, Region(region))
    _say(json, {"file": str(file), "created": True}, f"{file} holds a new root key: keep a copy where the data isn't")


@app.command(name="next")
def next_(file: File, *, json: Json = False) -> None:
    """Put a new root key in front of those in a file: a rotation leads to it. The others still open what they wrapped.

    Nodes read their files again when `vdb key rotate` asks them. Copy the file to each before.

    Example: `vdb key next root.key`
    """
    add_next_key(file)
    _say(json, {"file": str(file), "added": True}, f"{file} has a new first key: give it to all nodes, then rotate")


@app.command
async def retire(file: File, *, force: bool = False, options: NodeOptions = NODE) -> None:
    """Drop the keys of a file that aren't the first any more, once no node needs them: all nodes are asked.

    What they wrapped, such as copies of data directories from before the rotation, nobody can open any more. Nodes that
    run keep what they were given until they end.

    Example: `vdb key retire root.key`

    Parameters
    ----------
    force
        Ask nobody: for copies of the file, once it was retired on one machine. What still needs the keys is lost.
    """
    if not force:
        keys = key_provider(None, file).load()
        async with options.client() as client:
            for name in await _groups(client):
                _check_unneeded(name, await client.key_status(name), keys.for_group(GroupId(name)).key_id)
    dropped = drop_other_keys(file)
    _say(options.json, {"file": str(file), "dropped": dropped}, f"{dropped} keys dropped from {file}")


def _check_unneeded(group: str, reports: Sequence[KeyReport], first: bytes) -> None:
    """Whether no node needs another root key than the first of the file. InvalidArgument."""
    for report in reports:
        found, problem = report.status, ""
        if found is None:
            problem = f"{report.address} doesn't say what it needs: expected an answer of each node, found none"
        elif found.root_key_id != first:
            problem = (
                f"node {found.node} goes by another root key than the file's first: expected {first.hex()}, found "
                f"{found.root_key_id.hex()}; rotate first"
            )
        elif not found.settled:
            problem = f"the disk of node {found.node} still needs another root key: expected it settled; rotate first"
        elif found.files:
            problem = f"node {found.node} has {found.files} files under an earlier key: expected none; wait for them"
        if problem:
            raise InvalidArgument(f"group {group} may need the keys behind the first: {problem}, or --force")


@app.command
async def rotate(
    *, group: str = "", tenant: int | None = None, step: int = 0, force: bool = False, options: NodeOptions = NODE
) -> None:
    """Rotate keys while the nodes serve. A rotation that was cut short goes on where it was.

    Tenants' keys are wrapped by the first of the root keys that the nodes were given, and what is sealed from now on
    has new data keys. The log, its records and its proofs stay as they are.

    Example: `vdb key rotate`

    Example: `vdb key rotate --tenant 7`

    Parameters
    ----------
    group
        This one alone: a region's name, or 'global'. Without it, all groups of the node.
    tenant
        New data keys for this tenant alone; its own key stays under the root key that it is under.
    step
        Tenants in one step; 0 for as many as a step holds.
    force
        Also where a node lacks the new root key, or doesn't answer. It serves nothing until it is given it.
    """
    async with options.client(1 if tenant is None else tenant) as client:
        for name in [group] if group else await _groups(client):
            if tenant is not None:
                started = await client.start_key_period(name)
                said = f"{name}: new data keys of tenant {tenant}, period {started.period}"
                _say(options.json, {"group": name, "tenant": tenant, "period": started.period}, said)
            else:
                await _rotate(client, name, step, force=force, as_json=options.json)


async def _rotate(client: Client, group: str, step: int, *, force: bool, as_json: bool) -> None:
    reports = await client.key_status(group)
    if not force:
        _check(group, reports)
    rewrapped, begin, rotation_id = 0, True, RealEntropy().random_bytes(ROTATION_ID_SIZE)
    while True:
        found = await client.rotate_keys(group, begin=begin, rotation_id=rotation_id, maximum=step, force=force)
        rewrapped, begin = rewrapped + found.rewrapped, False
        if not found.left:
            break
        if not as_json:
            print_note(f"{group}: {found.left} tenants left")
    for _ in range(_SETTLING_STEPS):
        # Another step goes on to the checkpoint that no longer needs the old root key.
        if all(report.status is None or report.status.settled for report in await client.key_status(group)):
            break
        found = await client.rotate_keys(group, begin=False, maximum=step)
    root = found.root_key_id.hex()
    said = f"{group}: all tenants are under root key {root}, and have new data keys; {rewrapped} were wrapped anew"
    _say(as_json, {"group": group, "root_key_id": root, "rewrapped": rewrapped, "left": 0}, said)


def _check(group: str, reports: Sequence[KeyReport]) -> None:
    """Whether all nodes answer: whether they have the new root key, the group's primary asks. InvalidArgument."""
    silent = [report.address for report in reports if report.status is None]
    if silent:
        raise InvalidArgument(
            f"all nodes of group {group} must have the new root key before: expected an answer of each, found none of "
            f"{', '.join(silent)}; --force goes on without"
        )


@app.command
async def status(*, group: str = "", options: NodeOptions = NODE) -> int:
    """Show each node's keys: which root key wraps, which others it has, and how far a rotation is.

    Exit code 1 while a rotation isn't done, or a node still needs another root key or doesn't answer. 'files' counts
    encrypted files that are still under an earlier key: each node makes its own anew. A node that 'lacks' a root key
    waits until it is in its key file.

    Example: `vdb key status`

    Parameters
    ----------
    group
        This one alone: a region's name, or 'global'. Without it, all groups of the node.
    """
    async with options.client() as client:
        reports = [
            (name, report)
            for name in ([group] if group else await _groups(client))
            for report in await client.key_status(name)
        ]
    if options.json:
        for name, report in reports:
            print_json(_as_json(name, report))
    else:
        print_table(
            ("group", "node", "root keys from", "root key", "tenants", "behind", "keys", "files", "rotated", "others"),
            [_row(name, report) for name, report in reports],
        )
        for _, report in reports:
            if report.problem:
                print_text(report.problem)
    return EXIT_OK if _is_settled(reports) else EXIT_FAILED


def _is_settled(reports: Sequence[tuple[str, KeyReport]]) -> bool:
    """Whether all nodes of a group answer, go by one root key, and need no other."""
    under: dict[str, bytes] = {}
    for group, report in reports:
        found = report.status
        if found is None or not found.settled or found.files:
            return False
        if under.setdefault(group, found.root_key_id) != found.root_key_id:
            return False  # one that hasn't heard of the rotation yet
    return True


def _row(group: str, report: KeyReport) -> tuple[object, ...]:
    found = report.status
    if found is None:
        return (group, report.address, "no answer", "", "", "", "", "", "", "")
    others = [key.hex()[:8] for key in found.given if key != found.root_key_id]
    needed = "" if found.settled else " needed"
    lacks = [f"lacks {found.missing.hex()[:8]}"] if found.missing else []
    return (
        group,
        found.node,
        found.provider,
        found.root_key_id.hex()[:8],
        found.tenants,
        found.behind,
        found.keys,
        found.files or "",
        time_text(found.began) if found.began else "never",
        ", ".join([*lacks, (", ".join(others) or "none") + (needed if others else "")]),
    )


def _as_json(group: str, report: KeyReport) -> dict[str, object]:
    found = report.status
    if found is None:
        return {"group": group, "address": report.address, "problem": report.problem}
    return {
        "group": group,
        "node": found.node,
        "provider": found.provider,
        "root_key_id": found.root_key_id.hex(),
        "given": [key.hex() for key in found.given],
        "tenants": found.tenants,
        "behind": found.behind,
        "keys": found.keys,
        "began": found.began,
        "settled": found.settled,
        "files_behind": found.files,
        "missing": found.missing.hex(),
    }


async def _groups(client: Client) -> list[str]:
    return [str(group.group) for group in (await client.status()).groups]


def _say(as_json: bool, values: dict[str, object], text: str) -> None:
    if as_json:
        print_json(values)
    else:
        print_text(text)
