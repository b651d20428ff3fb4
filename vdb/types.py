"""The words of the system as types: ids, regions, data classes, placements and positions.

Rules
- Ids are plain integers to Python and distinct types to mypy; the 16-byte fields of sealed records hold them
  big-endian, padded with zeros on the left.
- A `Placement` joins a data class with a place. PHI with a global placement can't be constructed, so no code
  path can hold one.
- `group_for_placement` is the only way from a placement to a group.
- A `Position` is a pair (group, number). It is ordered within its group only; comparing positions of two
  groups is a bug and raises.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from typing import NewType

from attrs import field, frozen

from vdb.errors import InvalidArgument, PlacementViolation

TenantId = NewType("TenantId", int)
StreamId = NewType("StreamId", int)
Offset = NewType("Offset", int)
GroupId = NewType("GroupId", str)

GLOBAL_GROUP = GroupId("global")
U64_MAX = 2**64 - 1

TENANT_MAX = 2**63 - 1
_AUDIT_BIT = 2**63
SYSTEM_TENANT = TenantId(0)
"""Owns no data. Its audit log tells what is about no tenant, or about one that the group knows nothing of."""

DEFAULT_ADDRESS = "127.0.0.1:7140"
"""Where a node listens and a client looks for it, unless they are told."""

_REGION_NAME = re.compile(r"[a-z][a-z0-9-]{1,31}")


class DataClass(IntEnum):
    """What a stream holds. The numbers stand in the header of every sealed record (`vdb.crypto.record`)."""

    NON_PHI = 0
    PHI = 1
    DEIDENTIFIED = 2

    @property
    def label(self) -> str:
        """The word that the command line and configuration files use."""
        return self.name.lower().replace("_", "-")


class Durability(Enum):
    """What an acknowledgement promises. It is never downgraded: what can't be had is refused."""

    QUORUM_DURABLE = "quorum-durable"
    GEO_DURABLE = "geo-durable"


class Consistency(Enum):
    """What a read may miss."""

    LINEARIZABLE = "linearizable"
    """Nothing that was acknowledged before the read began: the group's primary answers, confirmed by a quorum."""
    STALE = "stale"
    """Whatever the node that is asked hasn't applied yet."""


def _check_region_name(_owner: object, _attribute: object, name: str) -> None:
    if name == GLOBAL_GROUP:
        raise InvalidArgument("a region can't be called 'global': that word names the global group")
    if not _REGION_NAME.fullmatch(name):
        raise InvalidArgument(
            f"a region's name has 2 to 32 characters of a-z, 0-9 and '-', starting with a letter; found {name!r}"
        )


@frozen(order=True)
class Region:
    """A place that data may be bound to. Regions are defined by the user; `DEFAULT_REGIONS` are AWS-like."""

    name: str = field(validator=_check_region_name)

    def __str__(self) -> str:
        return self.name


DEFAULT_REGIONS: tuple[Region, ...] = tuple(
    Region(name)
    for name in (
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "ca-central-1",
        "eu-west-1",
        "eu-west-2",
        "eu-central-1",
        "eu-north-1",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-northeast-1",
        "sa-east-1",
    )
)


@frozen
class Placement:
    """A data class and where it may lie. `region` None means global."""

    data_class: DataClass
    region: Region | None

    def __attrs_post_init__(self) -> None:
        if self.data_class is DataClass.PHI and self.region is None:
            raise PlacementViolation(
                "PHI needs a region: expected a region's name such as 'ap-southeast-2', found 'global'"
            )

    def __str__(self) -> str:
        return self.region.name if self.region is not None else GLOBAL_GROUP


def group_for_placement(placement: Placement) -> GroupId:
    """The one group that may hold data of this placement."""
    return GLOBAL_GROUP if placement.region is None else GroupId(placement.region.name)


@frozen
class Position:
    """A place in a group's log: what a projection has applied up to, what an append returns.

    `number` counts the events of the group from 0 in commit order, without gaps. Text form: `group:number`.
    """

    group: GroupId
    number: int

    def __lt__(self, other: Position) -> bool:
        self._check_comparable(other)
        return self.number < other.number

    def __le__(self, other: Position) -> bool:
        self._check_comparable(other)
        return self.number <= other.number

    def _check_comparable(self, other: Position) -> None:
        if self.group != other.group:
            raise InvalidArgument(f"positions of two groups have no order: {self} and {other}")

    def __str__(self) -> str:
        return f"{self.group}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read `group:number`; raises InvalidArgument for anything else."""
        group, separator, number = text.rpartition(":")
        if not separator or not group or not number.isascii() or not number.isdigit():
            raise InvalidArgument(f"a position reads GROUP:NUMBER, such as 'ap-southeast-2:42'; found {text!r}")
        return cls(GroupId(group), int(number))


ReadLevel = Consistency | Position
"""How fresh a read must be. A position: all that lies before it, from any node that has applied it."""


def check_tenant_id(value: int) -> TenantId:
    """A tenant id is a number from 1 to 2^63 - 1; raises InvalidArgument for another."""
    if not 1 <= value <= TENANT_MAX:
        raise InvalidArgument(f"a tenant id lies between 1 and {TENANT_MAX}; found {value}")
    return TenantId(value)


def audit_log_of(tenant: TenantId) -> TenantId:
    """The number under which storage keeps the tenant's audit log: beside its log of data, and like it."""
    assert tenant <= TENANT_MAX, f"log {tenant} is an audit log itself"
    return TenantId(tenant | _AUDIT_BIT)


def is_audit_log(log: TenantId) -> bool:
    return log > TENANT_MAX


def tenant_of_log(log: TenantId) -> TenantId:
    """Whose log of data, or audit log, this is."""
    return TenantId(log & TENANT_MAX)
