"""What the two ends of a connection between nodes say about the connection itself (`schemas/peer.capnp`).

- Who dialled says `Hello`; the other end answers with its own, or with a `Refusal` and then the end of the stream.
- Then who dialled sends messages, and a `Probe` now and then. The other end answers each with an `Echo`, and says
  `ALIVE` while bytes arrive that hold no probe.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import field, frozen

from vdb.errors import ProtocolError
from vdb.wire.framing import encode_frame
from vdb.wire.schema import peer

PROTOCOL_VERSION = 1
CLUSTER_SIZE = 16
DISK_ID_SIZE = 16


class RefusalReason(Enum):
    """Why a hello isn't accepted. The values are the schema's names, in its order."""

    VERSION = "version"
    CLUSTER = "cluster"
    NODE = "node"
    """It is for another node than this."""
    NAME = "name"
    """The certificate names another node, or none."""
    UNKNOWN = "unknown"
    """The sender is no member that this node knows."""
    DISK = "disk"
    """The sender came with another disk before."""
    REGION = "region"
    """The sender says another region than this node knows it in, or its certificate does."""
    REVOKED = "revoked"
    """The sender's certificate counts no more."""


_REASONS = tuple(RefusalReason)


@frozen(kw_only=True)
class Hello:
    node: int
    to: int
    cluster: bytes
    disk: bytes = field(repr=False)
    version: int = PROTOCOL_VERSION
    region: str = ""
    """The sender's; empty from one that knows of one region alone."""


@frozen
class Refusal:
    reason: RefusalReason


@frozen
class Probe:
    """`sent_ns`: monotonic time of its sender."""

    sent_ns: int


@frozen
class Echo:
    """`sent_ns`: of the probe; `wall_us`: the answering node's clock."""

    sent_ns: int
    wall_us: int


@frozen
class Alive:
    """Something of the receiver's has arrived."""


ALIVE = Alive()
LinkFrame = Hello | Refusal | Probe | Echo | Alive


def encode_link_frame(value: LinkFrame) -> bytes:
    """The frame as it travels."""
    frame: Any = peer.PeerFrame.new_message()
    match value:
        case Hello():
            frame.replica = value.node
            hello = frame.init("hello")
            hello.version, hello.to, hello.cluster, hello.disk = value.version, value.to, value.cluster, value.disk
            hello.region = value.region
        case Refusal():
            frame.refusal = value.reason.value
        case Probe():
            frame.init("probe").sent = value.sent_ns
        case Echo():
            echo = frame.init("echo")
            echo.sent, echo.wall = value.sent_ns, value.wall_us
        case Alive():
            frame.alive = None
    return encode_frame(frame.to_segments())


def link_frame_from(frame: Any, which: str) -> LinkFrame | None:
    """What a reader holds whose union says `which`; None for what isn't of the link. May raise CapnpError."""
    match which:
        case "hello":
            return _hello(frame)
        case "refusal":
            return _refusal(frame.refusal.raw)
        case "probe":
            return Probe(frame.probe.sent)
        case "echo":
            return Echo(frame.echo.sent, frame.echo.wall)
        case "alive":
            return ALIVE
        case _:
            return None


def _refusal(number: int) -> Refusal:
    if number >= len(_REASONS):
        raise ProtocolError(f"a refusal for reason {number}: nothing that this version knows")
    return Refusal(_REASONS[number])


def _hello(frame: Any) -> Hello:
    hello = frame.hello
    if len(hello.cluster) != CLUSTER_SIZE or len(hello.disk) != DISK_ID_SIZE:
        raise ProtocolError("a hello is malformed")
    return Hello(
        node=frame.replica,
        to=hello.to,
        cluster=hello.cluster,
        disk=hello.disk,
        version=hello.version,
        region=hello.region,
    )
