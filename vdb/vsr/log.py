"""The log as a replica knows it: which header stands at which op, and whether its prepare is here.

Rules
- `head` is the highest op. Its header is known, unless the log ends at the checkpoint.
- A header above the commit number is kept only while it belongs to the head's chain: what a newer log doesn't confirm
  is forgotten, and asked for again. Its prepare, if the journal has it, is recognised by its checksum, not sent again;
  and its header comes back as soon as the one above names it: nobody else may have it.
- A prepare is *held* when it is durable in the journal, *written* when the journal has taken it, *faulty* when the slot
  may have held one that was acked and is damaged. Only an intact write ends a fault.
- Headers of ops below the checkpoint stay as long as the ring may still have their prepares: others ask for them.
"""

from __future__ import annotations

from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader


class Log:
    """See the module's docstring. `base_*` describe the durable checkpoint, below which nothing is needed here."""

    def __init__(self, *, slots: int) -> None:
        self._slots = slots
        self.base_op = 0
        self.base_checksum = bytes(32)
        self.base_timestamp = 0
        self.head = 0
        self._headers: dict[int, PrepareHeader] = {}
        self._held: dict[int, bytes] = {}
        self._written: dict[int, bytes] = {}
        self._faulty: dict[int, None] = {}
        self._whole = 0
        """All ops up to this one, above the checkpoint, were here when somebody last looked."""
        self._in_journal: dict[int, PrepareHeader] = {}
        """Headers of what the journal has taken, whether they belong to the log or not."""

    def open(self, *, base_op: int, base_checksum: bytes, base_timestamp: int) -> None:
        """Start at a checkpoint."""
        self.base_op = self.head = base_op
        self.base_checksum = base_checksum
        self.base_timestamp = base_timestamp

    # What is known -----------------------------------------------------------------------------------------------

    def header(self, op: int) -> PrepareHeader | None:
        return self._headers.get(op)

    def checksum(self, op: int) -> bytes | None:
        """Checksum of the header of an op from the checkpoint on; None when it isn't known."""
        if op == self.base_op:
            return self.base_checksum
        header = self._headers.get(op)
        return header.checksum if header is not None else None

    @property
    def head_checksum(self) -> bytes:
        checksum = self.checksum(self.head)
        assert checksum is not None, "the head's header is always known"
        return checksum

    @property
    def last_timestamp(self) -> int:
        """The highest time that any request of the log has."""
        header = self._headers.get(self.head)
        if header is None:
            assert self.head == self.base_op
            return self.base_timestamp
        return header.timestamp + header.request_count - 1

    def configuration(self, at_least: Configuration) -> Configuration:
        """The one that holds at the head; `at_least` is known to be committed."""
        header = self._headers.get(self.head)
        if header is None or header.configuration.epoch < at_least.epoch:
            return at_least
        return header.configuration

    def is_held(self, op: int) -> bool:
        """Whether exactly the prepare that belongs at this op is durable here."""
        header = self._headers.get(op)
        return header is not None and self._held.get(op) == header.checksum

    def is_here(self, op: int) -> bool:
        """Whether the journal can give exactly the prepare that belongs at this op, durable or on its way."""
        header = self._headers.get(op)
        return header is not None and header.checksum in (self._held.get(op), self._written.get(op))

    def first_not_here(self) -> int:
        """The lowest op above the checkpoint that isn't here; head + 1 if all are."""
        op = max(self._whole, self.base_op)
        while op < self.head and self.is_here(op + 1):
            op += 1
        self._whole = op
        return op + 1

    def is_faulty(self, op: int) -> bool:
        return op in self._faulty

    def was_never_acked(self, op: int) -> bool:
        """Whether it is certain that no ack for what belongs at this op ever left from here.

        Certain is: nothing durable there and the slot intact; or something durable that isn't what the log has.
        """
        if op in self._faulty:
            return False
        held = self._held.get(op)
        return held is None or self._named(op) not in (None, held)

    def _named(self, op: int) -> bytes | None:
        """Checksum of what belongs at this op, by its own header or by the next one; None when neither is known."""
        header, after = self._headers.get(op), self._headers.get(op + 1)
        if header is not None:
            return header.checksum
        return after.parent if after is not None else None

    # Changes -----------------------------------------------------------------------------------------------------

    def recover(self, prepares: tuple[PrepareHeader, ...]) -> None:
        """After a start: the journal holds these prepares whole. Whether they belong to the log is said next."""
        for header in prepares:
            self._held[header.op] = header.checksum
            self._in_journal[header.op] = header

    def recover_tail(self, prepares: tuple[PrepareHeader, ...], tail: tuple[PrepareHeader, ...]) -> None:
        """The log ends with this tail, gaps allowed, or at the checkpoint; below, it is what chains to the tail."""
        for header in prepares:
            if tail and header.op < tail[0].op:
                self._headers[header.op] = header
        for header in tail:
            self._headers[header.op] = header
            self.head = header.op
        if tail:
            self._forget_unchained(tail[0], self.base_op)
        for header in tail:
            self._link_below(header)
        self._forget_prepares_above(self.head)

    def recover_chain(self, prepares: tuple[PrepareHeader, ...]) -> None:
        """The log is the chain that the checkpoint begins."""
        for header in prepares:
            if header.op != self.head + 1 or header.parent != self.head_checksum:
                break
            self._headers[header.op] = header
            self.head = header.op
        self._forget_prepares_above(self.head)

    def set_faulty(self, op: int) -> None:
        """The slot of this op is damaged."""
        self._whole = min(self._whole, op - 1)
        self._faulty[op] = None
        self._held.pop(op, None)
        self._written.pop(op, None)

    def append(self, header: PrepareHeader) -> None:
        """The primary of the present view says that this is the head now. Ops in between may be unknown."""
        assert header.op > self.head
        assert header.op > self.head + 1 or header.parent == self.head_checksum
        self.head = header.op
        self._headers[header.op] = header
        self._headers.pop(header.op - 2 * self._slots, None)
        self._link_below(header)

    def put_header(self, header: PrepareHeader) -> None:
        """A header behind the head that its successor names as its parent."""
        assert header.op < self.head
        after = self._headers.get(header.op + 1)
        assert after is not None
        assert after.parent == header.checksum
        self._headers[header.op] = header
        self._link_below(header)

    def set_written(self, header: PrepareHeader) -> None:
        """The journal has taken this prepare."""
        self._written[header.op] = header.checksum
        self._in_journal[header.op] = header
        lapped = header.op - self._slots
        for table in (self._held, self._written, self._in_journal):
            table.pop(lapped, None)
        if self._held.get(header.op) != header.checksum:
            self._held.pop(header.op, None)

    def set_held(self, header: PrepareHeader) -> None:
        """This prepare is durable, and so its slot is intact."""
        if self._written.get(header.op) != header.checksum:
            return
        del self._written[header.op]
        self._held[header.op] = header.checksum
        self._faulty.pop(header.op, None)

    def install(self, tail: tuple[PrepareHeader, ...], commit_number: int) -> None:
        """Make this tail the end of the log: its last header is the head, what doesn't chain to it is forgotten.

        `tail` is chained and in order. Ops up to `commit_number` are committed here and stay.
        """
        assert tail
        self._whole = min(self._whole, commit_number)
        first, last = tail[0], tail[-1]
        known = self.checksum(commit_number)
        for header in tail:
            assert header.op != commit_number or known in (None, header.checksum), "a committed op was replaced"
        for op in [op for op in self._headers if op > max(commit_number, first.op - 1)]:
            del self._headers[op]
        for header in tail:
            if header.op > self.base_op:
                self._headers[header.op] = header
        assert last.op >= commit_number, "the tail of a later view lacks a committed op"
        self.head = last.op
        self._forget_unchained(first, commit_number)
        self._forget_prepares_above(self.head)

    def truncate(self, op: int) -> None:
        """Cut everything above `op`."""
        self.end_at(op, kept=op)

    def end_at(self, op: int, *, kept: int) -> None:
        """Nothing is known to stand above `op`; prepares up to `kept` stay, in case that they turn out to belong."""
        self._whole = min(self._whole, op)
        self.head = op
        for above in [found for found in self._headers if found > op]:
            del self._headers[above]
        self._forget_prepares_above(kept)

    def set_base(self, op: int) -> None:
        """A checkpoint at this op is durable."""
        header = self._headers[op]
        self.base_op = op
        self.base_checksum = header.checksum
        self.base_timestamp = header.timestamp + header.request_count - 1
        floor = op - self._slots
        for old in [found for found in self._headers if found <= floor]:
            del self._headers[old]
        for table in (self._held, self._written, self._in_journal):
            for old in [found for found in table if found <= floor]:
                del table[old]
        for old in [found for found in self._faulty if found <= op]:
            del self._faulty[old]

    def _forget_unchained(self, child: PrepareHeader, commit_number: int) -> None:
        """Below `child`, keep only what chains to it without a gap, down to the commit number."""
        parent: bytes | None = child.parent
        for op in range(child.op - 1, commit_number, -1):
            header = self._headers.get(op)
            if header is None or header.checksum != parent:
                header = self._in_journal.get(op)
            if header is None or header.checksum != parent:
                self._headers.pop(op, None)
                parent = None
            else:
                self._headers[op] = header
                parent = header.parent

    def _link_below(self, child: PrepareHeader) -> None:
        """Take back the headers of prepares in the journal that chain to this one, down to the next that is known."""
        op = child.op - 1
        while op > self.base_op and op not in self._headers:
            header = self._in_journal.get(op)
            if header is None or header.checksum != child.parent:
                return
            self._headers[op] = child = header
            op -= 1

    def _forget_prepares_above(self, op: int) -> None:
        for table in (self._held, self._written, self._in_journal):
            for above in [found for found in table if found > op]:
                del table[above]
