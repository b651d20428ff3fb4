"""Marks that no seed can reach, with the reason: what they mark isn't simulated. Tests of their packages take them.

A sweep tells the other marks that it missed; of these it says only how many there are. One that a seed reaches must
leave this page: the sweep complains.
"""

from __future__ import annotations

from collections.abc import Mapping

_REASONS: Mapping[str, tuple[str, ...]] = {
    "simulated links have neither TLS nor credentials, and no limit of descriptors": (
        "accept.handshake_failed",
        "accept.no_capacity",
        "identity.development_token_refused",
        "identity.idle",
        "identity.refused",
        "identity.revocations_unreadable",
        "identity.revoked",
        "identity.session_over",
        "witness.no_more_files",
    ),
    "all who speak are nodes and clients of this version": (
        "peers.protocol_error",
        "peers.too_many_strangers",
        "policy.told_wrongly",
        "policy.unreadable",
        "rpc.budget_spent",
        "rpc.protocol_broken",
        "rpc.unimplemented_by_peer",
        "rpc.unimplemented_here",
    ),
    "only an error of this program leads there, such as those that `sim.bugs` plants": (
        "neighbourhood.not_heard_from_abroad",
        "neighbourhood.not_sent_abroad",
    ),
    "SQL clients of a run are sessions in the nodes, without policies of their own": (
        "client.sql_not_committed",
        "client.sql_recovered",
        "sql.restricted_refused",
        "sql.subjects_unnamed",
    ),
    "the grammar of SQL leaves it out": ("sql.order_unknown",),
    "no workload writes deidentified data, FHIR resources or types that a consumer doesn't know": (
        "consumer.unknown_type_ignored",
        "deidentified.refused",
        "fhir.other_writer",
    ),
}
OUTSIDE_MARKS: Mapping[str, str] = {mark: reason for reason, marks in _REASONS.items() for mark in marks}
"""Reason by mark."""
