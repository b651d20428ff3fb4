"""The cases beside a policy: questions with the answers that it must give. A policy that fails one isn't taken."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from vdb.policy.decide import AccessRequest, Consent, Decision, Grant, decide
from vdb.policy.model import Policy


@frozen(kw_only=True)
class Case:
    name: str
    request: AccessRequest
    grants: tuple[Grant, ...] = ()
    consents: tuple[Consent, ...] = ()
    allowed: bool
    rule: str = ""
    """The rule that must decide; empty: whichever."""


@frozen
class CaseResult:
    case: Case
    decision: Decision
    failure: str
    """What was expected and found; empty if the policy answers as it must."""


def run_cases(policy: Policy, cases: Iterable[Case]) -> list[CaseResult]:
    """Each case with what the policy decides."""
    return [_run(policy, case) for case in cases]


def unused_rules(policy: Policy, results: Iterable[CaseResult]) -> list[str]:
    """The rules that decided no case: nobody has said what they are for."""
    used = {result.decision.rule for result in results}
    return [rule.name for rule in policy.rules if rule.name not in used]


def _run(policy: Policy, case: Case) -> CaseResult:
    decision = decide(policy, case.request, grants=case.grants, consents=case.consents)
    failure = ""
    if decision.allowed is not case.allowed:
        failure = f"expected {_word(case.allowed)}, found {_word(decision.allowed)}: {decision.reason}"
    elif case.rule and decision.rule != case.rule:
        failure = f"expected the rule '{case.rule}' to decide, found '{decision.rule}'"
    return CaseResult(case, decision, failure)


def _word(allowed: bool) -> str:
    return "allowed" if allowed else "denied"
