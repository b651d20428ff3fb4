"""Dead letters of consumer groups: listed, delivered anew, dropped."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from vdb.consumers import DeadLetterInfo
from vdb.errors import InvalidArgument, TooLarge
from vdb.kernel.command import Origin
from vdb.kernel.reply import LettersSettled, Reply
from vdb.limits import CONSUMER_REASON_BYTES_MAX, LETTERS_PER_REQUEST_MAX
from vdb.node.consumers.consumer_gate import ConsumerGate, OnAnswer, Place, failure
from vdb.node.consumers.consumer_request import POSITION_SIZE, ConsumerRequest, PlainSettleLetters
from vdb.node.consumers.consumer_sealing import open_sealed
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.writes import Failure
from vdb.node.preparing.cutting import size_bound
from vdb.types import U64_MAX, GroupId

LETTERS_MAX = 1000
"""Dead letters that are listed at once."""


class ConsumerLetters(ConsumerGate):
    """See the module's docstring."""

    async def dead_letters(
        self, tenant: int, group: str, name: str, after: int, maximum: int
    ) -> tuple[list[DeadLetterInfo], bool]:
        """Those from a position on, in their order, and whether there are more. UnknownConsumer."""
        found = await self.know(tenant, group, name, sure=True)
        state = found.group.state
        positions = [one for one in state.dead_letters(found.tenant, found.lookup) if one >= after]
        listed = positions[: max(1, min(maximum, LETTERS_MAX))]
        letters: list[DeadLetterInfo] = []
        for position in listed:
            letter = state.dead_letter(found.tenant, found.lookup, position)
            stream, offset = await found.reader.place_of(found.tenant, position)
            reason = open_sealed(found.group.keyring, letter.sealed_reason) if letter.sealed_reason else ""
            letters.append(
                DeadLetterInfo(
                    position=position,
                    stream=stream,
                    offset=offset,
                    attempts=letter.attempts,
                    time=letter.time,
                    reason=reason,
                )
            )
        return letters, len(positions) > len(listed)

    def settle_dead_letters_soon(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        positions: Sequence[int],
        drop: bool,
        actor: str,
        reason: str,
        on_answer: OnAnswer[int],
    ) -> None:
        """Deliver dead letters anew, or drop them: how many that were. No positions: as many as one request takes.
        `on_answer` is called once, at once or after the commit."""

        def answer(_group: GroupId, reply: Reply) -> int | Failure:
            return reply.count if isinstance(reply, LettersSettled) else failure(reply, name)

        def build(found: Place) -> ConsumerRequest:
            check_text("an actor", actor, CONSUMER_REASON_BYTES_MAX)
            check_text("a reason", reason, CONSUMER_REASON_BYTES_MAX)
            if len(positions) > LETTERS_PER_REQUEST_MAX:
                raise TooLarge(f"{LETTERS_PER_REQUEST_MAX} dead letters are settled at once; found {len(positions)}")
            if any(not 0 <= position <= U64_MAX for position in positions):
                raise InvalidArgument(f"a position lies between 0 and {U64_MAX}")
            asked = PlainSettleLetters(
                tenant=found.tenant,
                name=name,
                positions=tuple(sorted(dict.fromkeys(positions))),
                drop=drop,
                actor=actor,
                reason=reason,
            )
            return asked if positions else evolve(asked, positions=self._all_letters(found, size_bound(asked)))

        self.write(origin, tenant, group, name, build, answer, on_answer)

    def _all_letters(self, found: Place, size: int) -> tuple[int, ...]:
        """The first dead letters that there are, as many as fit a request that takes so much beside them."""
        room = (found.group.limits.request_size_max - size) // POSITION_SIZE
        positions = found.group.state.dead_letters(found.tenant, found.lookup) if found.lookup else []
        return tuple(positions[: max(0, min(room, LETTERS_PER_REQUEST_MAX))])
