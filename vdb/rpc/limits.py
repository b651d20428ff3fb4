"""The bounds of one RPC connection. Sizes are bytes."""

from __future__ import annotations

from functools import cached_property

from attrs import frozen

from vdb.limits import TRANSACTION_SIZE


@frozen(kw_only=True)
class RpcLimits:
    """What a peer may make this side hold. The largest of each is also the most that a hostile one costs."""

    message_size_max: int = TRANSACTION_SIZE + 1024 * 1024
    segments_max: int = 16
    calls_in_flight_max: int = 256 + 64
    """Calls dispatched or queued and not yet answered; at this many no further message is read."""
    answers_max: int = 8192
    """Answers sent whose Finish hasn't come; one more ends the connection."""
    exports_max: int = 1024
    queued_bytes_max: int = 2 * TRANSACTION_SIZE
    """Calls that wait for an earlier answer's capability; those beyond are answered with `overloaded`."""
    unsent_bytes_max: int = 8 * 1024 * 1024
    """Answers that wait for the peer to read; at this many bytes no further call is taken."""
    read_size: int = 128 * 1024
    reason_size_max: int = 1024
    """Of an exception's reason; longer ones are cut."""

    @cached_property
    def content_size_max(self) -> int:
        """Of parameters or results: a message's size without what lies around them."""
        return self.message_size_max - 256

    def __attrs_post_init__(self) -> None:
        assert self.message_size_max % 8 == 0
        assert self.message_size_max >= 4096
        assert 1 <= self.segments_max <= 512
        assert self.calls_in_flight_max >= 1
        assert self.answers_max > self.calls_in_flight_max
        assert self.exports_max >= 1
        assert self.queued_bytes_max >= self.message_size_max
        assert self.unsent_bytes_max >= 1
        assert self.read_size >= 8
        assert self.reason_size_max >= 64
