"""What is told of erasures, holds and retention. Times are microseconds UTC."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from vdb.types import DataClass


@frozen(kw_only=True)
class ErasureBegun:
    """The answer to an erasure, or to a dry run of one."""

    erasure: int
    """Its number in the group; 0: a dry run."""
    report: dict[str, Any] = field(repr=False)
    """What is, or would be, erased, and what stands against it."""


@frozen(kw_only=True)
class ErasureInfo:
    erasure: int
    subject_token: bytes
    """What stands for the subject in the headers of its records, 32 bytes; empty: nothing was ever sealed for it."""
    basis: str
    time: int
    op: int
    """Of a checkpoint that holds it; 0: nobody has acknowledged yet."""
    keys: int
    """How many were destroyed."""
    pending: tuple[int, ...]
    """Numbers of the members that haven't acknowledged yet."""
    certificate: str = field(repr=False)
    """JSON, once nothing is pending; empty before."""


@frozen(kw_only=True)
class HoldInfo:
    hold: int
    subject: str = field(repr=False)
    """Empty: of streams."""
    stream: str = field(repr=False)
    """A name, PREFIX*, or empty for all."""
    reason: str = field(repr=False)
    placed: int
    released: int
    """0: it holds."""

    @property
    def holds(self) -> bool:
        return not self.released


@frozen(kw_only=True)
class RetentionInfo:
    stream: str = field(repr=False)
    """A name, or PREFIX*."""
    data_class: DataClass
    days: int


@frozen(kw_only=True)
class Pruned:
    """What had expired and has ended, or would, in a dry run."""

    segments: int
    """Of the log: their sealed records are gone, and their leaves are there."""
    bytes: int
    """That are gone with them."""
    report: dict[str, Any] = field(repr=False)
    """keys: how many were destroyed; left: how many keys and segments are left for the next call; held: the keys, the
    segments and their bytes that holds keep back; erasure: its number, 0 if nothing was erased."""


def fits_pattern(pattern: str, name: str) -> bool:
    """Whether a stream's name is the one meant; PREFIX* means all that begin so, an empty pattern all."""
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return not pattern or name == pattern
