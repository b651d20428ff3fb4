"""A policy of a small clinic, and those who work there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.policy.decide import Principal

CLINIC = """
name = "clinic"

[roles]
clinician = []
officer = []
researcher = []

[[binding]]
principals = ["lee", "may"]
roles = ["clinician"]

[[binding]]
principals = ["kim"]
roles = ["officer"]

[[binding]]
principals = ["ana"]
roles = ["researcher"]

[[rule]]
name = "officers-govern"
roles = ["officer"]
actions = ["policy", "audit", "create", "append"]

[[rule]]
name = "emergency"
effect = "break-glass"
roles = ["clinician"]
actions = ["read"]

[[rule]]
name = "research"
roles = ["researcher"]
actions = ["read"]
purposes = ["HRESCH"]
consent = true

[break-glass]
roles = ["clinician"]
minutes = 60
reviewers = ["officer"]
"""


def caller(name: str, *, purpose: str = "", development: bool = False) -> Caller:
    return Caller(principal=Principal(name=name, development=development), credential=Credential.MTLS, purpose=purpose)


@pytest.fixture
def clinic() -> str:
    return CLINIC


As = Callable[..., Guard]


@pytest.fixture
def as_() -> As:
    """`as_(node, "lee")`: the guard of a connection of this person's."""

    def make(node: Node, name: str, *, purpose: str = "", development: bool = False) -> Guard:
        return Guard(node.service, caller(name, purpose=purpose, development=development))

    return make
