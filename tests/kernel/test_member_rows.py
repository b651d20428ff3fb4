from hypothesis import given
from hypothesis import strategies as st

from vdb.kernel.command import MemberRow
from vdb.kernel.member_rows import Membership, pack_member, unpack_member, unpack_membership

nodes = st.lists(st.integers(0, 254), max_size=6).map(tuple)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.builds(Membership, epoch=st.integers(0, 2**64 - 1), voters=nodes, learners=nodes))
def test_memberships_round_trip(membership: Membership) -> None:
    assert unpack_membership(membership.pack()) == membership


@given(
    st.builds(
        MemberRow,
        node=st.integers(0, 254),
        name=text,
        peer_address=text,
        address=text,
        disk_id=st.binary(min_size=16, max_size=16),
    )
)
def test_members_round_trip(member: MemberRow) -> None:
    assert unpack_member(bytes((member.node,)), pack_member(member)) == member


def test_a_row_of_a_log_from_before_regions_says_none() -> None:
    row = MemberRow(node=3, name="n3", peer_address="h:1", address="h:2", disk_id=bytes(16))
    named = MemberRow(node=3, name="n3", peer_address="h:1", address="h:2", disk_id=bytes(16), region="eu-west-1")
    assert pack_member(named) == pack_member(row) + b"\x09eu-west-1"
    for one in (row, named):
        assert unpack_member(bytes((3,)), pack_member(one)) == one
