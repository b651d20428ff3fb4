import pytest
from attrs import evolve

from vdb.errors import ConfigurationChanged, RefusalCode, error_for_refusal
from vdb.kernel.command import MemberRow, Reconfigure
from vdb.kernel.effect import ChangeMembers
from vdb.kernel.member_rows import FOUNDING, Membership
from vdb.kernel.reply import Reconfigured, Refusal


def member(node: int, *, disk: int = 1) -> MemberRow:
    return MemberRow(
        node=node,
        name=f"n{node}",
        peer_address=f"10.0.0.{node}:7150",
        address=f"10.0.0.{node}:7140",
        disk_id=bytes((disk,)) * 16,
    )


FOUR = Reconfigure(
    epoch=9, base_epoch=0, voters=(0, 1, 2), learners=(3,), members=(member(0), member(1), member(2), member(3))
)


def test_before_the_first_reconfiguration_the_rows_know_nobody(primary) -> None:
    assert primary.state.membership() == FOUNDING
    assert primary.state.members() == ()


def test_a_learner_is_added_and_promoted(primary) -> None:
    assert primary.apply(FOUR) == ((ChangeMembers(9),), Reconfigured(9))
    assert primary.state.membership() == Membership(epoch=9, voters=(0, 1, 2), learners=(3,))
    assert primary.state.members() == FOUR.members
    promote = Reconfigure(epoch=12, base_epoch=9, voters=(0, 1, 2, 3), learners=())
    assert primary.apply(promote) == ((ChangeMembers(12),), Reconfigured(12))
    assert primary.state.membership() == Membership(epoch=12, voters=(0, 1, 2, 3), learners=())
    assert primary.state.members() == FOUR.members


def test_who_leaves_loses_its_row(primary) -> None:
    primary.apply(FOUR)
    primary.apply(Reconfigure(epoch=12, base_epoch=9, voters=(0, 2), learners=(3,)))
    assert [row.node for row in primary.state.members()] == [0, 2, 3]


def test_a_node_comes_back_on_another_disk(primary) -> None:
    primary.apply(FOUR)
    primary.apply(Reconfigure(epoch=12, base_epoch=9, voters=(0, 1), learners=(2, 3), members=(member(2, disk=7),)))
    assert primary.state.members() == (member(0), member(1), member(2, disk=7), member(3))


def test_a_change_of_another_configuration_is_refused(primary) -> None:
    primary.apply(FOUR)
    again = primary.apply(evolve(FOUR, epoch=10))
    message = (
        "expected a change of the configuration made at op 9, found one of that made at op 0: look at the members again"
    )
    assert again == ((), Refusal(RefusalCode.CONFIGURATION_CHANGED, message))
    assert primary.state.membership().epoch == 9
    assert isinstance(error_for_refusal(RefusalCode.CONFIGURATION_CHANGED, message), ConfigurationChanged)


def test_the_epoch_lies_above_the_one_before(primary) -> None:
    primary.apply(FOUR)
    with pytest.raises(AssertionError, match="above the one before"):
        primary.apply(Reconfigure(epoch=9, base_epoch=9, voters=(0,), learners=()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voters": ()}, "a group has 1 to 6 voters; found 0"),
        ({"voters": tuple(range(7))}, "a group has 1 to 6 voters; found 7"),
        ({"learners": tuple(range(3, 10))}, "a group has at most 6 learners; found 7"),
        ({"learners": (2, 3)}, "a node is either a voter or a learner, and once; found one twice"),
        ({"learners": (255,)}, "a node's number lies between 0 and 254; found 255"),
        (
            {"learners": ()},
            "a reconfiguration has rows of voters and learners; found node 3, which is neither",
        ),
        ({"members": (member(0), member(0))}, "a reconfiguration has one row for a node; found two"),
        ({"members": (evolve(member(0), disk_id=b"x"),)}, "a disk id has 16 bytes; found 1"),
        ({"members": (evolve(member(0), name="é" * 128),)}, "a member's name has 1 to 255 bytes; found 256"),
        ({"members": (evolve(member(0), address=""),)}, "a member's address has 1 to 255 bytes; found 0"),
        ({"members": (evolve(member(0), peer_address=""),)}, "a member's peer address has 1 to 255 bytes; found 0"),
    ],
)
def test_what_can_not_be_is_refused(primary, change, message) -> None:
    assert primary.apply(evolve(FOUR, **change)) == ((), Refusal(RefusalCode.INVALID_ARGUMENT, message))
    assert primary.state.membership() == FOUNDING


@pytest.mark.parametrize("region", ["us-east-1", ""])
def test_a_region_takes_no_node_of_another(primary, region) -> None:
    group = primary.state.group
    here = [evolve(member(node), region=group) for node in (0, 1)]
    stranger = evolve(member(2), region=region)
    asked = Reconfigure(epoch=9, base_epoch=0, voters=(0, 1), learners=(2,), members=(*here, stranger))
    where = f"region '{region}'" if region else "no region"
    message = f"group {group} has members of its region alone; found node 2 of {where}"
    assert primary.apply(asked) == ((), Refusal(RefusalCode.PLACEMENT_VIOLATION, message))
    assert primary.state.members() == ()


def test_a_row_without_a_region_is_refused_once_others_have_one(primary) -> None:
    here = tuple(evolve(member(node), region=primary.state.group) for node in range(3))
    primary.apply(Reconfigure(epoch=9, base_epoch=0, voters=(0, 1, 2), learners=(), members=here))
    again = Reconfigure(epoch=12, base_epoch=9, voters=(0, 1, 2), learners=(3,), members=(member(3),))
    _, reply = primary.apply(again)
    assert isinstance(reply, Refusal)
    assert reply.code is RefusalCode.PLACEMENT_VIOLATION
    assert [row.region for row in primary.state.members()] == [primary.state.group] * 3
