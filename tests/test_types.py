"""Ids, regions, placements and positions."""

from __future__ import annotations

import inspect

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vdb
from vdb.cli.options import NodeOptions
from vdb.errors import InvalidArgument, PlacementViolation
from vdb.node.config import NodeConfig
from vdb.types import (
    DEFAULT_ADDRESS,
    DEFAULT_REGIONS,
    GLOBAL_GROUP,
    U64_MAX,
    DataClass,
    GroupId,
    Placement,
    Position,
    Region,
    check_tenant_id,
    group_for_placement,
)
from vdb.world.environment import default_address


def test_phi_with_a_global_placement_cant_be_constructed() -> None:
    with pytest.raises(PlacementViolation, match=r"PHI needs a region.*found 'global'"):
        Placement(DataClass.PHI, None)


@pytest.mark.parametrize("data_class", [DataClass.NON_PHI, DataClass.DEIDENTIFIED])
def test_other_data_may_be_global(data_class: DataClass) -> None:
    placement = Placement(data_class, None)
    assert group_for_placement(placement) == GLOBAL_GROUP
    assert str(placement) == "global"


@pytest.mark.parametrize("region", DEFAULT_REGIONS, ids=str)
@pytest.mark.parametrize("data_class", DataClass)
def test_a_region_has_its_own_group(region: Region, data_class: DataClass) -> None:
    assert group_for_placement(Placement(data_class, region)) == GroupId(region.name) != GLOBAL_GROUP


def test_regions_are_the_users_own() -> None:
    assert str(Region("clinic-berlin")) == "clinic-berlin"


@pytest.mark.parametrize("name", ["", "x", "Global", "a b", "1st", "-a", "é", "x" * 33, "a\n"])
def test_bad_region_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="a region's name has 2 to 32 characters"):
        Region(name)


def test_no_region_is_called_global() -> None:
    with pytest.raises(InvalidArgument, match="names the global group"):
        Region("global")


@given(st.sampled_from([*map(str, DEFAULT_REGIONS), "global"]), st.integers(0, U64_MAX))
def test_a_position_reads_as_it_is_written(group: str, number: int) -> None:
    position = Position(GroupId(group), number)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "42", ":42", "eu-west-1:", "eu-west-1:-1", "eu-west-1:x", "eu-west-1:٣"])
def test_other_texts_are_no_position(text: str) -> None:
    with pytest.raises(InvalidArgument, match="a position reads GROUP:NUMBER"):
        Position.parse(text)


def test_positions_are_ordered_within_a_group_only() -> None:
    first, second = Position(GroupId("eu-west-1"), 1), Position(GroupId("eu-west-1"), 2)
    assert first < second
    assert first <= first
    with pytest.raises(InvalidArgument, match="no order"):
        _ = first < Position(GLOBAL_GROUP, 2)
    with pytest.raises(InvalidArgument, match="no order"):
        _ = first <= Position(GLOBAL_GROUP, 2)


@pytest.mark.parametrize("value", [0, -1, U64_MAX + 1])
def test_tenants_count_from_one(value: int) -> None:
    with pytest.raises(InvalidArgument, match=f"found {value}"):
        check_tenant_id(value)


def test_data_classes_have_the_numbers_of_the_record_format() -> None:
    assert [(kind.label, int(kind)) for kind in DataClass] == [("non-phi", 0), ("phi", 1), ("deidentified", 2)]


def test_a_client_looks_where_a_node_listens() -> None:
    node = {field.name: field.default for field in attrs.fields(NodeConfig)}["address"]
    for face in (vdb.connect, vdb.connect_sync):
        assert inspect.signature(face).parameters["address"].default is None, "the environment is asked"
    assert default_address({}) == NodeOptions().address == node == DEFAULT_ADDRESS
