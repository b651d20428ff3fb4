"""Event ids in the ledger: which ones a stream remembers, by a list of the checker's own.

event-ids   what is appended brings ids that its stream doesn't remember; an append that is answered again has its
            events where the answer says, all of one earlier append; one that is refused for its ids has one there
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.verdict import Verdict
from vdb.crypto.record import decode_record
from vdb.errors import RecordTampered, RefusalCode
from vdb.kernel.command import KnownAppend
from vdb.kernel.reply import Appended, Refusal, Reply
from vdb.limits import EVENT_ID_SIZE

INVARIANT = "event-ids"


@frozen
class Place:
    """Where an event with an id lies. `request` is the op and the index in it of what appended the event."""

    event_id: bytes
    offset: int
    position: int
    request: tuple[int, int]


@define
class EventIds:
    """Of one group. `remembered`: how many ids of a stream count."""

    group: str
    remembered: int
    verdict: Verdict
    _places: dict[tuple[int, int], list[Place]] = field(factory=dict)
    """Of each tenant's stream, oldest first."""

    def on_record(
        self, request: tuple[int, int], tenant: int, stream: int, offset: int, position: int, record: bytes
    ) -> None:
        """A sealed record was appended."""
        try:
            ids = bytes(decode_record(record).event_ids)
        except RecordTampered:
            return  # `Contents`, which opens it, says so
        if not ids:
            return
        held = self._held(tenant, stream)
        places = self._places.setdefault((tenant, stream), [])
        for index in range(len(ids) // EVENT_ID_SIZE):
            event_id = ids[index * EVENT_ID_SIZE : (index + 1) * EVENT_ID_SIZE]
            before = held.get(event_id)
            self.verdict.check(
                INVARIANT,
                before is None or before.request == request,
                f"{self.group} op {request[0]}: the event at offset {offset + index} of stream {stream} has the id of "
                f"the one at {before and before.offset}",
            )
            places.append(Place(event_id, offset + index, position + index, request))

    def on_known(self, op: int, command: KnownAppend, reply: Reply) -> None:
        """An append was answered, or refused, for the ids that it brings."""
        name = f"{self.group} op {op}"
        if not command.whole:
            (piece,) = command.pieces
            self.verdict.check(
                INVARIANT,
                isinstance(reply, Refusal)
                and reply.code is RefusalCode.EVENT_ID_TAKEN
                and piece.event_id in self._held(command.tenant, piece.stream),
                f"{name}: stream {piece.stream} has no event of that id, and the append was answered {reply}",
            )
            return
        if not self.verdict.check(
            INVARIANT, isinstance(reply, Appended), f"{name}: an append come again was answered {reply}"
        ):
            return
        assert isinstance(reply, Appended)
        position, requests = reply.first_position, []
        for piece, told in zip(command.pieces, reply.streams, strict=True):
            if not piece.count:
                continue
            found = self._at(command.tenant, piece.stream, told.first_offset, piece.count)
            self.verdict.check(
                INVARIANT,
                bool(found)
                and found[0].event_id == piece.event_id
                and told.next_offset == told.first_offset + piece.count
                and [one.position for one in found] == list(range(position, position + piece.count)),
                f"{name}: stream {piece.stream} was answered {told} at position {position}; it has {found}",
            )
            position += piece.count
            requests += [one.request for one in found]
        self.verdict.check(
            INVARIANT,
            position == reply.next_position and len(dict.fromkeys(requests)) == 1,
            f"{name}: the events of an append come again were appended by {requests}, up to position {position}",
        )

    def _held(self, tenant: int, stream: int) -> dict[bytes, Place]:
        """What the stream remembers, by id."""
        places = self._places.get((tenant, stream), [])
        return {place.event_id: place for place in places[max(0, len(places) - self.remembered) :]}

    def _at(self, tenant: int, stream: int, offset: int, count: int) -> list[Place]:
        """Remembered events at these offsets; empty when one isn't."""
        wanted = range(offset, offset + count)
        found = [place for place in self._held(tenant, stream).values() if place.offset in wanted]
        return found if len(found) == count else []
