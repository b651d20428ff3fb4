"""`vdb policy check|explain`: what a policy file says, before anybody relies on it. `policy_applied` has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text
from vdb.client.face_base import data_class_of
from vdb.errors import ConfigError
from vdb.policy.cases import Case, run_cases, unused_rules
from vdb.policy.decide import AccessRequest, Grant, Principal, decide
from vdb.policy.file import parse_policy
from vdb.policy.model import Policy
from vdb.policy.words import PURPOSES, Action

app = App(name="policy", help="Check a policy file, explain what it decides, apply it, and show what holds.")
for _name, _help in (
    ("apply", "Apply a policy file: each group goes by it."),
    ("show", "Show which policy each group of the node goes by."),
    ("diff", "Compare a policy file with the policy that holds."),
):
    app.command(f"vdb.cli.policy_applied:{_name}", name=_name, help=_help)

File = Annotated[Path, Parameter(name="--file")]


@app.command
def check(*, file: File, json: bool = False) -> int:
    """Read a policy file strictly, and run the cases that stand in it. Exit code 1 if one fails.

    Example: `vdb policy check --file policy.toml`

    Parameters
    ----------
    file
        The policy: TOML, described in `vdb/policy/file.py`.
    json
        Print one object a case, and a last one for the whole.
    """
    policy, cases = _read(file)
    results = run_cases(policy, cases)
    failed = sum(bool(result.failure) for result in results)
    unused = unused_rules(policy, results)
    if json:
        for result in results:
            print_json(
                {
                    "case": result.case.name,
                    "ok": not result.failure,
                    "allowed": result.decision.allowed,
                    "rule": result.decision.rule,
                    "failure": result.failure,
                }
            )
        print_json(
            {
                "policy": policy.name,
                "version": policy.version,
                "rules": len(policy.rules),
                "cases": len(results),
                "failed": failed,
                "rules_without_case": unused,
            }
        )
        return EXIT_FAILED if failed else EXIT_OK
    print_text(f"policy {policy.name}, {policy.version}")
    if results:
        print_table(
            ("case", "answer", "rule", "verdict"),
            [
                (
                    result.case.name,
                    "allowed" if result.decision.allowed else "denied",
                    result.decision.rule,
                    result.failure or "as it must be",
                )
                for result in results
            ],
        )
    for rule in unused:
        print_note(f"no case is decided by rule '{rule}': write one that says what it is for")
    print_text(f"{len(results)} cases, {failed} failed")
    return EXIT_FAILED if failed else EXIT_OK


@app.command
def explain(
    *,
    file: File,
    principal: str,
    action: str,
    tenant: int = 1,
    data_class: str = "phi",
    stream: str = "",
    table: list[str] | None = None,
    column: list[str] | None = None,
    subject: str = "",
    purpose: str = "",
    on_behalf_of: str = "",
    mfa: bool = False,
    broke_glass: bool = False,
    json: bool = False,
) -> int:
    """Say whether somebody may do something, by which rule, and what would be missing. Exit code 1 if not.

    Example: `vdb policy explain --file policy.toml --principal dr.lee --action read --stream notes --purpose TREAT`

    Parameters
    ----------
    file
        The policy.
    principal
        Who asks, as their certificate or token names them.
    action
        What is asked for: create, append, read, query, time-travel, consume, schema, export, erase, audit, ...
    tenant
        Whose data.
    data_class
        phi, non-phi or deidentified.
    stream
        The stream, projection, database or consumer.
    table
        A table that is touched. May be given several times.
    column
        A column that is touched. May be given several times.
    subject
        Whom the data are about.
    purpose
        A code of HL7 v3-ActReason, such as TREAT.
    on_behalf_of
        Somebody else for whom they ask.
    mfa
        A second factor was shown.
    broke_glass
        The glass was broken.
    json
        Print one object.
    """
    policy, _cases = _read(file)
    if action not in (known := [one.value for one in Action]):
        raise ConfigError(f"--action is one of {', '.join(known)}; found {action!r}")
    if purpose and purpose not in PURPOSES:
        raise ConfigError(f"--purpose is one of {', '.join(PURPOSES)}; found {purpose!r}")
    request = AccessRequest(
        principal=Principal(name=principal, mfa=mfa),
        action=Action(action),
        tenant=tenant,
        data_class=data_class_of(data_class),
        stream=stream,
        tables=tuple(table or ()),
        columns=tuple(column or ()),
        subject=subject,
        purpose=purpose,
        on_behalf_of=on_behalf_of,
    )
    grants = (Grant(principal=principal, tenant=tenant, until=1),) if broke_glass else ()
    decision = decide(policy, request, grants=grants)
    masks = {name: mask.value for name, mask in decision.masks.items()}
    if json:
        print_json(
            {
                "allowed": decision.allowed,
                "rule": decision.rule,
                "version": decision.version,
                "reason": decision.reason,
                "roles": sorted(policy.roles_of(principal, tenant)),
                "rows": decision.rows,
                "masks": masks,
                "broke_glass": decision.broke_glass,
            }
        )
    else:
        print_text(f"{'allowed' if decision.allowed else 'denied'}: {decision.reason}")
        if decision.rows:
            print_text(f"rows: only where {decision.rows}")
        for name, mask in masks.items():
            print_text(f"column {name}: shown as '{mask}'")
        print_text(f"policy {policy.name}, {policy.version}")
    return EXIT_OK if decision.allowed else EXIT_FAILED


def read_text(file: Path) -> str:
    """A file's text. ConfigError."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} isn't UTF-8") from None


def _read(file: Path) -> tuple[Policy, tuple[Case, ...]]:
    text = read_text(file)
    try:
        return parse_policy(text)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
