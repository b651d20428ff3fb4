"""What decisions are made by: decoded once for each state, and never more than the state says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from attrs import define

from vdb.kernel.apply import apply_committed
from vdb.kernel.governance_command import PutPolicy
from vdb.kernel.state import State
from vdb.node.governance.policy_book import PolicyBook
from vdb.policy.decide import AccessRequest, Principal, decide
from vdb.policy.file import parse_policy
from vdb.policy.words import Action
from vdb.types import DataClass, GroupId

REGION = GroupId("ap-southeast-2")


@define
class Held:
    """A group of nothing but a state."""

    name: GroupId
    state: State
    keyring: Any = None

    def put(self, text: str, version: str) -> None:
        command = PutPolicy(serial=self.serial + 1, version=version, text=text, by="kim")
        self.state = apply_committed(self.state, command, self.state.last_timestamp + 1)[0]

    serial: int = 0


@pytest.fixture
def group() -> Held:
    return Held(name=REGION, state=State.empty(REGION, 4))


def test_a_policy_is_read_once_for_each_state(group: Held, clinic: str) -> None:
    book = PolicyBook({REGION: group})
    assert book.policy(REGION) is None
    version = parse_policy(clinic)[0].version
    group.put(clinic, version)
    first = book.policy(REGION)
    assert first is not None
    assert first.version == version
    assert book.policy(REGION) is first
    other = clinic.replace("minutes = 60", "minutes = 30")
    group.serial = 1
    group.put(other, parse_policy(other)[0].version)
    second = book.policy(REGION)
    assert second is not None
    assert second.break_glass.minutes == 30
    held = book.held(REGION)
    assert held is not None
    assert (held.row.serial, held.row.by) == (2, "kim")


@pytest.mark.parametrize("text", ['name = "clinic"\nfrom-a-newer-version = true', "no toml", 'name = "another"'])
def test_a_policy_that_cant_be_read_allows_nothing(group: Held, text: str, caplog: pytest.LogCaptureFixture) -> None:
    group.put(text, "sha256:" + "0" * 64)
    book = PolicyBook({REGION: group})
    with caplog.at_level(logging.WARNING):
        policy = book.policy(REGION)
    assert policy is not None
    assert [record.message for record in caplog.records] == ["policy.unreadable"]
    for action in Action:
        request = AccessRequest(
            principal=Principal(name="kim", mfa=True), action=action, tenant=0, data_class=DataClass.NON_PHI
        )
        assert not decide(policy, request).allowed
