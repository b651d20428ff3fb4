"""Rows of a report beside the technical safeguards: the HIPAA rules around them, what is proposed, 21 CFR 11, GDPR."""

from __future__ import annotations

from vdb.audit.accounting import YEARS, years_before
from vdb.audit.controls_security import Control, scanned
from vdb.audit.questions import Tally
from vdb.audit.report import Evidence, Facts, Requirement, Row, counted, counted_in_both, operator_row, row_of
from vdb.verifier.fhir import instant_of

_HIPAA, _PROPOSED, _PART11, _GDPR = "HIPAA", "NPRM 90 FR 898 (proposed)", "21 CFR 11", "GDPR / EHDS"
_R, _A = Requirement.REQUIRED, Requirement.ADDRESSABLE
_DAY = 86_400_000_000


def activity_review(_facts: Facts, tally: Tally) -> Row:
    reviews = tally.answer("reviews")
    return row_of(
        "164.308(a)(1)(ii)(D)",
        "Information system activity review",
        _HIPAA,
        _R,
        "Searches of the audit log by patient, person and kind; reviews are entries of it themselves.",
        evidence=[
            counted("reviews that were recorded", tally, "reviews"),
            counted("reads of the log", tally, "log-reads"),
        ],
        missing=[] if reviews.count else ["no review was recorded in the period"],
        operator="Set how often, by whom, and what follows from a finding.",
    )


def contingency(facts: Facts, _tally: Tally) -> Row:
    nodes = ", ".join(f"{node.name} ({node.region})" for node in facts.nodes)
    return operator_row(
        "164.308(a)(7)",
        "Contingency plan",
        _HIPAA,
        _R,
        "Back up, and drill the restore: compare the tree's root before and after. Replicas are no backup.",
        feature="Records are on a quorum of replicas before they are acknowledged; a lost node is replaced.",
        evidence=[Evidence(what="nodes", count=len(facts.nodes), value=nodes)],
    )


def disposal(facts: Facts, tally: Tally) -> Row:
    missing = []
    evidence = [counted("erasures in the period", tally, "erasures")]
    if facts.erasures is None:
        missing.append("the list of erasures couldn't be asked for")
    else:
        evidence.append(Evidence(what="erasures, in all", count=facts.erasures.count))
        evidence.append(Evidence(what="of them, nodes haven't acknowledged yet", count=facts.erasures.pending))
        if facts.erasures.pending:
            missing.append(f"not finished on all nodes: {facts.erasures.pending} erasures")
    return row_of(
        "164.310(d)(2)(i)",
        "Disposal (NIST SP 800-88: cryptographic erase)",
        _HIPAA,
        _R,
        "Keys of a subject are destroyed and overwritten on every node, which each acknowledges; then a certificate.",
        evidence=evidence,
        missing=missing,
        operator="Dispose of disks; let backups that hold old keys expire; decide about removed nodes.",
    )


def retention(facts: Facts, tally: Tally) -> Row:
    age = None if tally.oldest is None else (facts.now - tally.oldest) // _DAY
    evidence = [
        Evidence(
            what="days since the oldest entry of the audit log",
            count=age,
            value="none" if tally.oldest is None else instant_of(tally.oldest)[:10],
        ),
        Evidence(what="six years back is", value=instant_of(years_before(facts.now, YEARS))[:10]),
        Evidence(what="records whose key is destroyed", count=tally.shredded),
        *counted_in_both("changes of retention, and what was pruned by it", tally, "retention"),
        *counted_in_both("of these refused: a hold, or too early", tally, "retention-refused"),
        *counted_in_both("holds placed, released and looked at", tally, "holds"),
    ]
    missing = []
    if facts.holds is not None:
        evidence.append(Evidence(what="holds in force", count=facts.holds))
    if facts.retention_rules is None:
        missing.append("the rules of retention couldn't be asked for")
    else:
        evidence.append(Evidence(what="rules of retention", count=facts.retention_rules))
    if tally.shredded:
        missing.append(f"records of the audit log that can't be read any more: {tally.shredded}")
    return row_of(
        "164.316(b)(2)(i)",
        "Retention of documentation, six years",
        _HIPAA,
        _R,
        "Nothing prunes an audit log, or destroys its keys. The paragraph is about policies and records of actions; "
        "that audit logs belong to these is the common reading, not its words.",
        evidence=evidence,
        missing=missing,
        operator="Keep policies, reports and reviews for six years as well; state law may ask for more.",
    )


def accounting(_facts: Facts, tally: Tally) -> Row:
    lacking = tally.answer("disclosures-incomplete")
    return row_of(
        "164.528",
        "Accounting of disclosures",
        _HIPAA,
        _R,
        "`vdb audit accounting` answers for one patient over six years, with what is left out and by which paragraph.",
        evidence=[
            counted("disclosures in the period", tally, "disclosures"),
            counted("of them, without recipient or description", tally, "disclosures-incomplete"),
        ],
        missing=[f"disclosures without a recipient or a description: {lacking.count}"] if lacking.count else [],
        operator="Record disclosures that don't come out of the database: calls, paper, mail. Answer within 60 days.",
    )


def deidentification(_facts: Facts, tally: Tally) -> Row:
    return row_of(
        "164.514(b)",
        "De-identification",
        _HIPAA,
        _R,
        "What is written as de-identified is checked against Safe Harbor's 18 identifiers as far as a machine can; "
        "free text is refused without an expert's determination.",
        evidence=[counted("experts' determinations recorded", tally, "attestations")],
        operator="Know that no one can be identified: Safe Harbor asks for that as well, and no check can show it.",
    )


def breach(facts: Facts, tally: Tally) -> Row:
    provider = "unknown" if facts.keys is None else facts.keys.provider
    return operator_row(
        "164.402",
        "Breach: was the information unsecured?",
        _HIPAA,
        _R,
        "Say of an incident whether keys were reached. `vdb audit search --actor NAME`: whom a credential reached.",
        feature="Sealed records are unreadable without the keys, which are held apart (74 FR 19006).",
        evidence=[
            Evidence(what="keys are held by", value=provider),
            counted("answers whose patients aren't named, so that all count", tally, "all-subjects"),
        ],
    )


# Proposed


def proposed_encryption(_facts: Facts, _tally: Tally) -> Row:
    return row_of(
        "proposed: encryption",
        "Encryption at rest and in transit, with few exceptions",
        _PROPOSED,
        Requirement.PROPOSED,
        "No setting stores or sends PHI in clear. There is no register of exceptions, as there can be none.",
    )


def proposed_mfa(facts: Facts, tally: Tally) -> Row:
    missing = []
    single = tally.answer("without-second-factor")
    if facts.policy is None or not facts.policy.serial:
        missing.append("no policy was applied, so none asks for a second factor")
    if single.count:
        missing.append(f"accesses of PHI by a token without one: {single.count}")
    return row_of(
        "proposed: MFA",
        "Multi-factor authentication",
        _PROPOSED,
        Requirement.PROPOSED,
        "A rule with `mfa = true` allows only who has shown a second factor to the identity provider.",
        evidence=[counted("accesses of PHI by a token without a second factor", tally, "without-second-factor")],
        missing=missing,
        operator="Turn it on at the identity provider, and in every rule that allows people PHI.",
    )


def proposed_apart(_facts: Facts, tally: Tally) -> Row:
    both = tally.both()
    names = ", ".join(f"{name or 'nobody'} {count}" for name, count in both.items())
    return row_of(
        "proposed: apart",
        "Administration apart from use",
        _PROPOSED,
        Requirement.PROPOSED,
        "Policies, keys and members are actions of their own: a rule can give them to principals that reach no PHI.",
        evidence=[
            Evidence(what="principals that did both, and how often they reached PHI", count=len(both), value=names)
        ],
        missing=[f"principals that govern the database and reach PHI as well: {len(both)}"] if both else [],
        operator="Give administrators a second principal for other work.",
    )


def proposed_attempts(_facts: Facts, tally: Tally) -> Row:
    return row_of(
        "proposed: attempts, zones",
        "Limit of log-in attempts, network segmentation, data controls",
        _PROPOSED,
        Requirement.PROPOSED,
        "Failed attempts are answered ever later, and end the connection after a few; no node takes, sends or opens "
        "what belongs to another region.",
        evidence=[
            *counted_in_both("sign-ins by token", tally, "sign-ins"),
            *counted_in_both("entries of sign-ins that failed", tally, "sign-ins-failed"),
            *counted_in_both("transfers that were refused for their region", tally, "transfers-refused"),
        ],
        missing=["a principal isn't locked out after failed attempts: that is the identity provider's to do"],
        operator="Lock accounts at the identity provider; put nodes and clients into zones of the network.",
    )


def proposed_monitoring(facts: Facts, tally: Tally) -> Row:
    return row_of(
        "proposed: monitoring",
        "Audit trail and system log: monitor, identify, record, retain, review in real time",
        _PROPOSED,
        Requirement.PROPOSED,
        "Each entry is in the log before its answer leaves; `vdb audit entries` reads on as they come.",
        evidence=[
            counted("entries in the period", tally, "entries"),
            counted("reviews that were recorded", tally, "reviews"),
            Evidence(what="records in the audit log", count=facts.audit.size),
        ],
        missing=["there are no rules that raise an alert: read the log into what your monitoring has"],
        operator="Say what is to raise an alert, who gets it, and how fast they answer.",
    )


def proposed_scans(facts: Facts, _tally: Tally) -> Row:
    versions = ", ".join(f"{node.name} {node.version}" for node in facts.nodes)
    return operator_row(
        "proposed: scans, patches",
        "Vulnerability scans each 6 months, a penetration test each year, patches in time",
        _PROPOSED,
        Requirement.PROPOSED,
        "Scan, test and patch, and hold these versions against what is published.",
        evidence=[Evidence(what="versions that run", count=len(facts.nodes), value=versions)],
    )


def proposed_backups(_facts: Facts, _tally: Tally) -> Row:
    return operator_row(
        "proposed: backups",
        "Backups at most 48 hours behind; critical systems restored within 72 hours",
        _PROPOSED,
        Requirement.PROPOSED,
        "Make backups, note their times, and drill the restore with a clock.",
        feature="Nothing: a node makes no backups, and counts none.",
    )


def proposed_inventory(facts: Facts, _tally: Tally) -> Row:
    return operator_row(
        "proposed: inventory",
        "Asset inventory and network map, every 12 months",
        _PROPOSED,
        Requirement.PROPOSED,
        "Add machines, disks, clients and connections; sign and date it.",
        feature="The nodes that answered this report; each one that holds a region's group holds PHI.",
        evidence=[
            Evidence(
                what=node.name,
                value=f"region {node.region}, groups {' '.join(node.groups)}, version {node.version}, PHI "
                + ("yes" if any(group != "global" for group in node.groups) else "no"),
            )
            for node in facts.nodes
        ],
    )


def proposed_notice(_facts: Facts, _tally: Tally) -> Row:
    return operator_row(
        "proposed: notice",
        "Business associates: notice within 24 hours of a contingency plan's activation; yearly verification",
        _PROPOSED,
        Requirement.PROPOSED,
        "Say who tells whom; have each associate verify in writing every year.",
    )


# Others


def part11(_facts: Facts, tally: Tally) -> Row:
    return row_of(
        "21 CFR 11.10, 11.50",
        "Audit trail; electronic signatures",
        _PART11,
        Requirement.LAW,
        "Old values are never hidden: who changed what and when stays (vdb sql, .history), with times of the database.",
        evidence=[counted("writes of PHI in the period", tally, "phi-writes")],
        missing=["signatures of persons on records, with their meaning, aren't something that the database has"],
        operator="Sign in the application, and store the signature with the record; validate the system for its use.",
    )


def erasure_rights(facts: Facts, tally: Tally) -> Row:
    holds = [] if facts.holds is None else [Evidence(what="holds in force, which stand against it", count=facts.holds)]
    return row_of(
        "GDPR 15, 17, 20",
        "Access, erasure, portability",
        _GDPR,
        Requirement.LAW,
        "`vdb audit search --subject` tells a patient who saw the chart; an erasure destroys keys and gives a "
        "certificate; exports are FHIR.",
        evidence=[
            counted("erasures in the period", tally, "erasures"),
            counted("erasures that were refused", tally, "erasures-refused"),
            *holds,
        ],
        operator="Decide: Art. 17(3) keeps what the law wants kept. Audit entries stay; tell the patient so.",
    )


def access_log(_facts: Facts, tally: Tally) -> Row:
    unnamed = tally.answer("all-subjects")
    missing = []
    if unnamed.count:
        missing.append(f"answers that name no patient, so that each patient's list has them: {unnamed.count}")
    return row_of(
        "(EU) 2025/327",
        "The patient's right to see who had access",
        _GDPR,
        Requirement.LAW,
        "`vdb audit search --subject PATIENT`: when, who, why, and what.",
        evidence=[counted("reads of PHI", tally, "phi-reads"), counted("about all subjects", tally, "all-subjects")],
        missing=missing,
        operator="Declare the column that names the patient in each table of PHI.",
    )


def residency(facts: Facts, tally: Tally) -> Row:
    holders = [node for node in facts.nodes if facts.group in node.groups]
    told = ", ".join(f"{node.name} in {node.region}" for node in holders)
    strangers = [node for node in holders if facts.group not in ("global", node.region)]
    missing = [f"nodes outside of the region that hold its group: {len(strangers)}"] if strangers else []
    if not holders:
        missing.append("no node that holds the group has answered")
    return row_of(
        "GDPR chapter V",
        "PHI stays in its region",
        _GDPR,
        Requirement.LAW,
        "PHI can't be given another place than a region; its region is bound into each seal, each group has nodes of "
        "its region alone, and a region's keys stay there.",
        settings={"group": facts.group},
        evidence=[
            Evidence(what="nodes that hold the group", count=len(holders), value=told),
            *scanned(facts, missing),
            *counted_in_both("transfers that were refused for their region", tally, "transfers-refused"),
        ],
        missing=missing,
        operator="See where the machines, their disks and their backups really stand.",
    )


OTHERS: tuple[Control, ...] = (
    activity_review,
    contingency,
    disposal,
    retention,
    breach,
    deidentification,
    accounting,
    proposed_encryption,
    proposed_mfa,
    proposed_apart,
    proposed_attempts,
    proposed_monitoring,
    proposed_scans,
    proposed_backups,
    proposed_inventory,
    proposed_notice,
    part11,
    erasure_rights,
    access_log,
    residency,
)
