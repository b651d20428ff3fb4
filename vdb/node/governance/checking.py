"""What is looked at before a policy, a grant or a consent is proposed."""

from __future__ import annotations

from vdb.errors import AccessDenied, ConfigError, InvalidArgument, SqlRefused, TooLarge
from vdb.limits import POLICY_BYTES_MAX
from vdb.node.gate.caller import Caller
from vdb.policy.cases import run_cases
from vdb.policy.decide import AccessRequest, decide
from vdb.policy.file import parse_policy
from vdb.policy.model import Policy, Rule
from vdb.policy.words import PURPOSES, Action
from vdb.sql.conditions import Bindings, bound_condition
from vdb.types import DataClass

NO_TENANT = 0
"""Of what is asked about the node as a whole: bindings and rules that name tenants don't fit it."""


def check_policy_text(text: str, caller: Caller) -> Policy:
    """The policy in a file's text, sound, with its cases answered, and with its author still able to apply another.

    InvalidArgument, TooLarge; AccessDenied for one that would lock its author out.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > POLICY_BYTES_MAX:
        raise TooLarge(f"a policy's text has at most {POLICY_BYTES_MAX} bytes; found {size}")
    try:
        policy, cases = parse_policy(text)
    except ConfigError as error:
        raise InvalidArgument(str(error)) from None
    for rule in policy.rules:
        _check_rows(rule)
    failed = [result for result in run_cases(policy, cases) if result.failure]
    if failed:
        raise InvalidArgument(
            f"{len(failed)} of {len(cases)} cases beside the policy fail, so it isn't taken: case "
            f"'{failed[0].case.name}' {failed[0].failure}"
        )
    check_not_locked_out(policy, caller)
    return policy


def _check_rows(rule: Rule) -> None:
    """What is no condition on rows would show none of them, and nobody would know why. InvalidArgument."""
    if rule.rows:
        try:
            bound_condition(rule.rows, Bindings(principal="", tenant=NO_TENANT))
        except SqlRefused as error:
            raise InvalidArgument(f"rule '{rule.name}': {error}") from None


def check_not_locked_out(policy: Policy, caller: Caller) -> None:
    """Who applies a policy can apply the next one: otherwise a slip would be for good. AccessDenied."""
    request = AccessRequest(
        principal=caller.principal,
        action=Action.POLICY,
        tenant=NO_TENANT,
        data_class=DataClass.NON_PHI,
        purpose=caller.purpose,
    )
    decision = decide(policy, request)
    if not decision.allowed or decision.rows or decision.masks:
        raise AccessDenied(
            f"under this policy '{caller.principal.name}' couldn't apply another one, so it isn't taken: expected a "
            f"rule that allows them 'policy' in all tenants; {decision.reason}"
        )


def check_purposes(purposes: tuple[str, ...]) -> None:
    for purpose in purposes:
        if purpose not in PURPOSES:
            raise InvalidArgument(f"a purpose is one of {', '.join(PURPOSES)}; found {purpose!r}")
