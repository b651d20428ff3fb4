"""Who belongs to the group: reconfigurations through its own log.

Rules
- A reconfiguration names the epoch of the one that it was made from: of two that were decided at the same time, one is
  refused. Sending one twice is harmless for the same reason.
- The epoch of a configuration is the op that made it. Prepares carry the configuration in their header, and replicas
  count by that one; these rows tell the shell whom to speak to, and a checkpoint who is who.
- A member keeps its row until another replaces it or the node is no member any more.
- The group of a region has members of that region alone: no row puts a node of another one into it, whoever asked. A
  row without a region is one of a log from before there were several, and refused beside one that has one.
"""

from __future__ import annotations

from vdb.errors import RefusalCode
from vdb.kernel.command import DISK_ID_SIZE, MemberRow, Reconfigure
from vdb.kernel.draft import Draft
from vdb.kernel.effect import ChangeMembers
from vdb.kernel.erasure import reconsider_erasures
from vdb.kernel.member_rows import MEMBER_TEXT_BYTES_MAX, Membership, pack_member
from vdb.kernel.reply import Reconfigured, Refusal, Reply
from vdb.kernel.state import State
from vdb.kernel.tables import CONFIGURATION, CURRENT_CONFIGURATION, MEMBERS, member_key
from vdb.limits import LEARNERS_MAX, NODE_NUMBER_MAX, REPLICAS_MAX
from vdb.types import GLOBAL_GROUP


def reconfigure(draft: Draft, command: Reconfigure) -> Reply:
    refusal = check_reconfigure(draft.base, command)
    if refusal is not None:
        return refusal
    assert command.epoch > command.base_epoch, "the epoch is the op that makes the configuration, above the one before"
    membership = Membership(epoch=command.epoch, voters=command.voters, learners=command.learners)
    draft.put(CONFIGURATION, CURRENT_CONFIGURATION, membership.pack())
    named = (*command.voters, *command.learners)
    for member in draft.base.members():
        if member.node not in named:
            draft.remove(MEMBERS, member_key(member.node))
    for member in command.members:
        draft.put(MEMBERS, member_key(member.node), pack_member(member))
    held = {member.node: member.disk_id for member in draft.base.members()}
    renewed = [member.node for member in command.members if held.get(member.node) != member.disk_id]
    reconsider_erasures(draft, renewed)
    draft.effects.append(ChangeMembers(command.epoch))
    return Reconfigured(command.epoch)


def check_reconfigure(state: State, command: Reconfigure) -> Refusal | None:
    """Why the members can't be changed so; None if they can. Which changes are sound is the gate's to judge."""
    held = state.membership().epoch
    if command.base_epoch != held:
        return Refusal(
            RefusalCode.CONFIGURATION_CHANGED,
            f"expected a change of the configuration made at op {held}, found one of that made at op "
            f"{command.base_epoch}: look at the members again",
        )
    wrong = _wrong_numbers(command) or _wrong_rows(command)
    if wrong is not None:
        return Refusal(RefusalCode.INVALID_ARGUMENT, wrong)
    foreign = _foreign_member(state, command)
    return None if foreign is None else Refusal(RefusalCode.PLACEMENT_VIOLATION, foreign)


def _wrong_numbers(command: Reconfigure) -> str | None:
    voters, learners = command.voters, command.learners
    if not 1 <= len(voters) <= REPLICAS_MAX:
        return f"a group has 1 to {REPLICAS_MAX} voters; found {len(voters)}"
    if len(learners) > LEARNERS_MAX:
        return f"a group has at most {LEARNERS_MAX} learners; found {len(learners)}"
    named = voters + learners
    if len(dict.fromkeys(named)) != len(named):
        return "a node is either a voter or a learner, and once; found one twice"
    if max(named) > NODE_NUMBER_MAX:
        return f"a node's number lies between 0 and {NODE_NUMBER_MAX}; found {max(named)}"
    return None


def _wrong_rows(command: Reconfigure) -> str | None:
    nodes = [member.node for member in command.members]
    if len(dict.fromkeys(nodes)) != len(nodes):
        return "a reconfiguration has one row for a node; found two"
    named = command.voters + command.learners
    for member in command.members:
        wrong = _wrong_row(member)
        if wrong is not None:
            return wrong
        if member.node not in named:
            return f"a reconfiguration has rows of voters and learners; found node {member.node}, which is neither"
    return None


def _foreign_member(state: State, command: Reconfigure) -> str | None:
    """Why one of these rows would take the group's data out of its region."""
    if state.group == GLOBAL_GROUP:
        return None
    regions_known = any(row.region for row in (*state.members(), *command.members))
    for member in command.members:
        if member.region != state.group and (member.region or regions_known):
            where = f"region '{member.region}'" if member.region else "no region"
            return f"group {state.group} has members of its region alone; found node {member.node} of {where}"
    return None


def _wrong_row(member: MemberRow) -> str | None:
    if len(member.disk_id) != DISK_ID_SIZE:
        return f"a disk id has {DISK_ID_SIZE} bytes; found {len(member.disk_id)}"
    for what, text in (("name", member.name), ("peer address", member.peer_address), ("address", member.address)):
        size = len(text.encode())
        if not 1 <= size <= MEMBER_TEXT_BYTES_MAX:
            return f"a member's {what} has 1 to {MEMBER_TEXT_BYTES_MAX} bytes; found {size}"
    if len(member.region.encode()) > MEMBER_TEXT_BYTES_MAX:
        return f"a member's region has at most {MEMBER_TEXT_BYTES_MAX} bytes; found {len(member.region.encode())}"
    return None
