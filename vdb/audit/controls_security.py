"""The technical safeguards of the HIPAA Security Rule, 45 CFR 164.312, as rows of a report."""

from __future__ import annotations

from collections.abc import Callable

from vdb.audit.questions import Tally
from vdb.audit.report import Evidence, Facts, Requirement, Row, TreeFacts, counted, counted_in_both, row_of
from vdb.verifier.fhir import instant_of

_SOURCE = "45 CFR 164.312"
_R, _A = Requirement.REQUIRED, Requirement.ADDRESSABLE

_SCRUB_DAYS = 30
_COSIGNED_HOURS_MAX = 48
_SCRUB_AGE_MAX = _SCRUB_DAYS * 86_400_000_000

Control = Callable[[Facts, Tally], Row]


def access_control(facts: Facts, tally: Tally) -> Row:
    missing, settings = _policy(facts)
    missing += _idle(tally)
    free = tally.answer("without-policy")
    if free.count:
        missing.append(f"accesses of PHI that no policy decided: {free.count}")
    evidence = [
        counted("reads of PHI that were allowed", tally, "phi-reads"),
        counted("writes of PHI that were allowed", tally, "phi-writes"),
        *(
            Evidence(what=f"allowed by rule {rule or 'none'}", count=count)
            for rule, count in sorted(tally.allowed_by_rule.items())
        ),
        counted("denials", tally, "denials"),
        *(
            Evidence(what=f"of them by rule {rule or 'none'}", count=count)
            for rule, count in sorted(tally.denials_by_rule.items())
        ),
        counted("accesses of PHI that no policy decided", tally, "without-policy"),
        counted("accesses of PHI without a purpose of use", tally, "without-purpose"),
        *counted_in_both("changes of the policy", tally, "policy-changes"),
        *_rules(facts),
    ]
    return row_of(
        "164.312(a)(1)",
        "Access control",
        _SOURCE,
        _R,
        "What no rule allows is denied. Rules name roles, actions, tenants, data classes, tables, columns, purposes.",
        settings=settings,
        evidence=evidence,
        missing=missing,
        operator="Say who needs what for their work; go through the roles (`vdb policy show`); take rights away.",
    )


def unique_users(_facts: Facts, tally: Tally) -> Row:
    nobody, development, embedded = (tally.answer(name) for name in ("nobody-named", "development", "embedded"))
    missing = _idle(tally)
    if nobody.count:
        missing.append(f"entries that name nobody: {nobody.count}")
    if development.count:
        missing.append(f"accesses of PHI with a development credential, which proves nothing: {development.count}")
    if tally.shared:
        missing.append(f"principals that two machines used within a minute, as with shared logins: {len(tally.shared)}")
    if embedded.count:
        missing.append(
            f"accesses of PHI by a program on the node's machine, under a name it gave itself: {embedded.count}"
        )
    return row_of(
        "164.312(a)(2)(i)",
        "Unique user identification",
        _SOURCE,
        _R,
        "Each connection has one principal, from its certificate or its token; each entry names it.",
        evidence=[
            Evidence(what="principals that reached PHI", count=len(tally.principals), value=_names(tally.principals)),
            Evidence(
                what="principals that two machines used within a minute",
                count=len(tally.shared),
                value=_names(tally.shared),
            ),
            counted("entries that name nobody", tally, "nobody-named"),
            counted("accesses of PHI with a development credential", tally, "development"),
            counted("accesses of PHI by an embedded program", tally, "embedded"),
        ],
        missing=missing,
        operator="One credential for each person: no shared logins. Disable those who leave, and keep the list.",
    )


def emergency_access(facts: Facts, tally: Tally) -> Row:
    missing = []
    grants = facts.grants
    evidence = [
        counted("times the glass was broken", tally, "glasses-broken"),
        counted("reads and writes that only a broken glass allowed", tally, "emergency-access"),
    ]
    if grants is None:
        missing.append("the list of broken glasses couldn't be asked for")
    else:
        evidence.append(Evidence(what="broken glasses on the list, in all", count=grants.count))
        evidence.append(Evidence(what="of them, nobody has reviewed", count=grants.unreviewed))
        evidence += [Evidence(what="broken in the period", value=told) for told in grants.sessions]
        if grants.count:
            evidence.append(Evidence(what="the longest", value=f"{grants.longest_seconds // 60} minutes"))
        if grants.unreviewed:
            missing.append(f"broken glasses that wait for a review: {grants.unreviewed}")
    if facts.policy is None or not facts.policy.serial:
        missing.append("no policy says who may break the glass: nobody can")
    return row_of(
        "164.312(a)(2)(ii)",
        "Emergency access procedure",
        _SOURCE,
        _R,
        "Breaking the glass: with a reason, for at most 4 hours, told at once to those who review it.",
        evidence=evidence,
        missing=missing,
        operator="Write the procedure; train it; drill it, and keep the date of the last drill; review each use.",
    )


def automatic_logoff(facts: Facts, _tally: Tally) -> Row:
    found, missing = _settings(facts, "identity.idle-minutes", "identity.session-hours")
    missing += [f"{name} is 0: sessions don't end by it" for name, value in found.items() if float(value) == 0]
    return row_of(
        "164.312(a)(2)(iii)",
        "Automatic logoff",
        _SOURCE,
        _A,
        "The server ends sessions that are idle, and those that last too long; transactions left open are rolled back.",
        settings=found,
        missing=missing,
        operator="Lock the screens: the database ends its sessions, not those of the computers before it.",
    )


def encryption_at_rest(facts: Facts, tally: Tally) -> Row:
    missing = []
    settings = {
        "records": "AES-256-GCM, one key a record, with key commitment",
        "projections": "SQLCipher 4, AES-256-CBC with HMAC-SHA512 a page",
    }
    evidence = [*counted_in_both("changes of keys", tally, "key-changes")]
    keys = facts.keys
    if keys is None:
        missing.append("the state of the keys couldn't be asked for")
    else:
        settings |= {"key provider": keys.provider, "root key": keys.root_key_id}
        evidence.append(Evidence(what="data keys, each wrapped under its tenant's", count=keys.keys))
        evidence.append(Evidence(what="tenants still under an older root key", count=keys.behind))
        if keys.behind:
            missing.append(f"tenants whose keys are still under an older root key: {keys.behind}")
    evidence += scanned(facts, missing)
    return row_of(
        "164.312(a)(2)(iv)",
        "Encryption and decryption",
        _SOURCE,
        _A,
        "Every record is sealed before it is replicated or stored; there is no setting that turns it off.",
        settings=settings,
        evidence=evidence,
        missing=missing,
        operator="Keep the root key apart from the data, in a KMS or an HSM; its loss is the loss of the data. "
        "These are approved algorithms; whether the module is a validated one depends on your build.",
    )


def audit_controls(facts: Facts, tally: Tally) -> Row:
    tree = facts.audit
    missing, evidence = _tree(tree, "audit log")
    evidence += _cosigned(facts, missing)
    settings, unshown = _settings(facts, "identity.receipts")
    if settings.get("identity.receipts") == "false":
        missing.append("receipts are turned off: reads aren't in the log (identity.receipts)")
    missing += unshown
    evidence = [
        counted("entries in the period", tally, "entries"),
        Evidence(what="of these kinds", value=_names(tally.kinds, len(tally.kinds))),
        Evidence(what="days with entries", count=len(tally.days)),
        *evidence,
        counted("entries that were shortened, and say so", tally, "shortened"),
        counted("reads of the audit log", tally, "log-reads"),
        counted("reviews that were recorded", tally, "reviews"),
        Evidence(what="by whom", count=len(tally.reviewers), value=_names(tally.reviewers)),
    ]
    if not tally.answer("reviews").count:
        missing.append("nobody has examined the log in the period: no review is recorded")
    return row_of(
        "164.312(b)",
        "Audit controls",
        _SOURCE,
        _R,
        "Each read, write and denial is an entry in the replicated log, committed before the answer leaves.",
        settings=settings,
        evidence=evidence,
        missing=missing,
        operator="Examine it: recording alone isn't enough. `vdb audit report --sign-off` records that you did.",
    )


def integrity(facts: Facts, _tally: Tally) -> Row:
    missing: list[str] = []
    evidence: list[Evidence] = []
    if facts.data is None:
        missing.append("the tree of the tenant's data couldn't be asked for, or there is none yet")
    else:
        evidence = [
            Evidence(what="records in the tree of the data", count=facts.data.size, value=facts.data.root),
            Evidence(what="signed by", value=facts.data.signed_by),
        ]
        if facts.data.pinned:
            evidence.append(Evidence(what="continues the head that was kept", value=facts.data.pinned))
        else:
            missing.append("no earlier head was at hand to compare with (--pins): keep one, outside of the database")
    for node in facts.nodes:
        if facts.group not in node.groups:
            continue
        scrub = instant_of(node.scrubbed_at) if node.scrubbed_at else "none yet"
        evidence.append(Evidence(what=f"last full scrub of {node.name}", value=scrub))
        found = f"damage that scrubs of {node.name} have found since it started"
        evidence.append(Evidence(what=found, count=node.scrub_faults))
        if not node.scrubbed_at:
            missing.append(f"no scrub of {node.name} has read all of its disk yet")
        elif facts.now - node.scrubbed_at > _SCRUB_AGE_MAX:
            missing.append(f"the last full scrub of {node.name} is older than {_SCRUB_DAYS} days")
    return row_of(
        "164.312(c)(1)",
        "Integrity",
        _SOURCE,
        _R,
        "Nothing is overwritten. Each record is chained, and a leaf of a Merkle tree; replicas are scrubbed.",
        evidence=evidence,
        missing=missing,
        operator="Run `vdb audit log` on a stopped node or a copy: it hashes every stored byte. Keep its result.",
    )


def authenticate_data(facts: Facts, _tally: Tally) -> Row:
    tree = facts.audit
    checked = Evidence(what="records of the audit log hashed, and found in the signed tree", count=tree.leaves_checked)
    missing = [] if tree.leaves_checked == tree.size else ["not all records of the audit log were hashed"]
    return row_of(
        "164.312(c)(2)",
        "Mechanism to authenticate ePHI",
        _SOURCE,
        _A,
        "A proof of each record that holds without the database: vdb audit prove, and verify.py in each export.",
        evidence=[checked],
        missing=missing,
        operator="Have somebody outside verify a sample, with the key they were handed.",
    )


def entity_authentication(_facts: Facts, tally: Tally) -> Row:
    single, development, embedded = (
        tally.answer(name) for name in ("without-second-factor", "development", "embedded")
    )
    missing = _idle(tally)
    if single.count:
        missing.append(f"accesses of PHI by people without a second factor: {single.count}")
    if development.count:
        missing.append(f"accesses of PHI with a development credential: {development.count}")
    if embedded.count:
        missing.append(f"accesses of PHI by a program that proved nothing but its hold of the keys: {embedded.count}")
    return row_of(
        "164.312(d)",
        "Person or entity authentication",
        _SOURCE,
        _R,
        "Services by certificate (mTLS); people by OIDC tokens, whose second factor a rule can ask for.",
        evidence=[
            *(
                Evidence(what=f"accesses of PHI by {name or 'nobody'}", count=count)
                for name, count in sorted(tally.credentials.items())
            ),
            counted("accesses of PHI by a token without a second factor", tally, "without-second-factor"),
        ],
        missing=missing,
        operator="Run the identity provider; prove who people are before they get a credential; renew certificates.",
    )


def transmission(facts: Facts, _tally: Tally) -> Row:
    missing = []
    if not facts.secured:
        missing.append("this report was asked for without TLS, on the node's own machine")
    return row_of(
        "164.312(e)(1)",
        "Transmission security: integrity controls, encryption",
        _SOURCE,
        _A,
        "TLS 1.3 with certificates on both sides, for clients and between nodes; without TLS a node answers its own "
        "machine alone, and nothing changes that.",
        settings={"TLS at least": "1.3", "this connection": "TLS" if facts.secured else "none, loopback"},
        missing=missing,
        operator="Secure what isn't the database's: mail, exports on media, screens.",
    )


SECURITY: tuple[Control, ...] = (
    access_control,
    unique_users,
    emergency_access,
    automatic_logoff,
    encryption_at_rest,
    audit_controls,
    integrity,
    authenticate_data,
    entity_authentication,
    transmission,
)


def _settings(facts: Facts, *names: str) -> tuple[dict[str, str], list[str]]:
    """(Those of these settings that are known, why they aren't)."""
    if facts.settings is None:
        return {}, ["the node's configuration wasn't shown to the report (--config)"]
    return {name: facts.settings[name] for name in names if name in facts.settings}, []


def _idle(tally: Tally) -> list[str]:
    """What nothing happened to can't be shown to work."""
    return [] if tally.principals else ["nobody has reached PHI in the period: there is nothing that shows it"]


def _policy(facts: Facts) -> tuple[list[str], dict[str, str]]:
    policy = facts.policy
    if policy is None:
        return ["the policy couldn't be asked for"], {}
    if not policy.serial:
        return ["no policy was applied: everything is allowed"], {"policy": "none"}
    return [], {
        "policy": f"serial {policy.serial}, {policy.version}",
        "applied": f"{instant_of(policy.applied_at)} by {policy.applied_by}",
    }


def _tree(tree: TreeFacts, what: str) -> tuple[list[str], list[Evidence]]:
    missing = []
    evidence = [
        Evidence(what=f"records in the {what}'s tree", count=tree.size, value=tree.root),
        Evidence(what="signed by", value=tree.signed_by),
        Evidence(what="numbers that are missing in the count of entries", count=tree.gaps),
    ]
    if tree.gaps:
        missing.append(f"entries that are missing in the count: {tree.gaps}")
    if tree.witnesses or tree.cosigned:
        evidence.append(Evidence(what="cosigned by", value=", ".join(tree.witnesses) or tree.cosigned))
    else:
        missing.append("no witness has cosigned the tree: nobody outside would notice another history (vdb witness)")
    if tree.pinned:
        evidence.append(Evidence(what="continues the head that was kept", value=tree.pinned))
    return missing, evidence


def scanned(facts: Facts, missing: list[str]) -> list[Evidence]:
    """What all records of the tenant's data say of themselves; adds to what is missing."""
    scan = facts.scan
    if scan is None:
        missing.append("the records' own headers couldn't be read, or there are none yet")
        return []
    if scan.astray:
        missing.append(f"records that lie where they mustn't (vdb placement prove names them): {scan.astray}")
    sealed = "sealed as the header says, and in the tree that is signed"
    return [Evidence(what="records of data whose header was read", count=scan.records, value=sealed)] + [
        Evidence(what=f"of class {name}, sealed for {region}", count=count) for name, region, count in scan.regions
    ]


def _rules(facts: Facts) -> list[Evidence]:
    """Who may do what: each rule of the policy that holds."""
    rules = () if facts.policy is None else facts.policy.rules
    return [Evidence(what=f"now holds: rule {name}", value=words) for name, words in rules]


def _cosigned(facts: Facts, missing: list[str]) -> list[Evidence]:
    """What the node has had cosigned by itself, each day or as it is configured; adds to what is missing."""
    if not facts.audit.cosigned:
        return []
    hours = (facts.now - facts.audit.cosigned_at) // 3_600_000_000
    if hours > _COSIGNED_HOURS_MAX:
        missing.append(f"the last cosigned head of the audit log is older than {_COSIGNED_HOURS_MAX // 24} days")
    return [Evidence(what="hours since witnesses cosigned it for the node", count=hours, value=facts.audit.cosigned)]


def _names(counts: dict[str, int], shown_max: int = 5) -> str:
    """Who did most, and how many others there are."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name or 'nobody'} {count}" for name, count in ranked[:shown_max])
    return shown + (f", and {len(ranked) - shown_max} others" if len(ranked) > shown_max else "")
