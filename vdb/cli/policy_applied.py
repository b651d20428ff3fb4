"""`vdb policy apply|show|diff`: the policy that a cluster goes by."""

from __future__ import annotations

from difflib import unified_diff

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text, time_text
from vdb.cli.policy import File, read_text
from vdb.client.client import Client
from vdb.errors import AccessDenied
from vdb.policy.file import parse_policy
from vdb.policy.held import PolicyInfo
from vdb.types import GLOBAL_GROUP


async def apply(*, file: File, expected_serial: int | None = None, options: TenantOptions = TENANT) -> int:
    """Apply a policy file: to the global group, which gives it a serial, and from there to each region.

    It isn't taken if a case in it fails, or if you couldn't apply another one under it. Exit code 1 if a region of
    this node doesn't have it yet: it is carried there as soon as its primary can be reached.

    Example: `vdb policy apply --file policy.toml`

    Parameters
    ----------
    file
        The policy: TOML, described in `vdb/policy/file.py`.
    expected_serial
        Of the policy that it replaces, 0 for none. Without it: whichever holds now.
    """
    text = read_text(file)
    async with options.tenant_client() as client:
        applied = await client.apply_policy(text, expected_serial)
        found = await _everywhere(client)
    behind = [group for group, info in found.items() if info.serial < applied.serial]
    if options.json:
        print_json({"serial": applied.serial, "version": applied.version, "behind": behind})
    else:
        print_text(f"policy {applied.version} holds as serial {applied.serial} in {', '.join(found)}")
        for group in behind:
            print_note(f"{group} doesn't have it yet: it goes by serial {found[group].serial}")
    return EXIT_FAILED if behind else EXIT_OK


async def show(*, group: str = "", text: bool = False, options: TenantOptions = TENANT) -> int:
    """Show which policy each group of the node goes by. Exit code 1 if there is none.

    Example: `vdb policy show --text > policy.toml`

    Parameters
    ----------
    group
        This one alone: a region's name, or 'global'.
    text
        Print the policy itself. For who may apply policies, or read the audit log.
    """
    async with options.tenant_client() as client:
        found = {group: await client.policy(group)} if group else await _everywhere(client)
    newest = max(found.values(), key=lambda info: info.serial)
    if text:
        _print_policy(newest)
    elif options.json:
        for name, info in found.items():
            print_json({"group": name, **as_json(info)})
    else:
        print_table(
            ("group", "serial", "version", "applied", "by"),
            [
                (name, info.serial, info.version, time_text(info.applied_at), info.applied_by)
                if info.serial
                else (name, "none", "", "", "")
                for name, info in found.items()
            ],
        )
        if not newest.serial:
            print_note("no policy was applied: everything is allowed to everybody who is let in")
    return EXIT_OK if newest.serial else EXIT_FAILED


async def diff(*, file: File, group: str = "", options: TenantOptions = TENANT) -> int:
    """Compare a policy file with the policy that holds. Exit code 1 if they differ in what they say.

    Example: `vdb policy diff --file policy.toml`

    Parameters
    ----------
    file
        The policy to compare.
    group
        Whose policy; by default that of the node's region.
    """
    text = read_text(file)
    async with options.tenant_client() as client:
        held = await client.policy(group)
    if held.serial and not held.text:
        raise AccessDenied("you aren't shown the policy's text: expected to be allowed 'policy' or 'audit'")
    version = parse_policy(text)[0].version
    lines = list(
        unified_diff(
            held.text.splitlines(),
            text.splitlines(),
            fromfile=f"serial {held.serial}",
            tofile=str(file),
            lineterm="",
        )
    )
    same = held.version == version
    if options.json:
        print_json({"same": same, "serial": held.serial, "held": held.version, "file": version, "diff": lines})
    else:
        for line in lines:
            print_text(line)
        if same and lines:
            print_note("they say the same: only what doesn't count differs")
    return EXIT_OK if same else EXIT_FAILED


def as_json(info: PolicyInfo) -> dict[str, object]:
    """A policy as the object that commands print, without its text."""
    return {
        "serial": info.serial,
        "version": info.version,
        "applied_at": info.applied_at,
        "applied_by": info.applied_by,
    }


async def _everywhere(client: Client) -> dict[str, PolicyInfo]:
    """What the node's groups go by; the global one first."""
    groups = [str(group.group) for group in (await client.status()).groups]
    return {name: await client.policy(name) for name in sorted(groups, key=lambda name: name != GLOBAL_GROUP)}


def _print_policy(info: PolicyInfo) -> None:
    if info.serial and not info.text:
        raise AccessDenied("you aren't shown the policy's text: expected to be allowed 'policy' or 'audit'")
    print_text(info.text.rstrip("\n"))
