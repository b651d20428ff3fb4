"""The gate of consumer groups: checks calls, finds their groups, and turns the log's replies into answers.

Rules
- Only the primary of a group answers, as it does for writes: NotPrimary, NotReady.
- Who settles, leaves, creates or deletes does so through the log, with or without a session, in the order of arrival.
  What needs a look at the log before (where a group starts) is submitted after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from vdb.consumers import ConsumerInfo, ConsumerSettings, MemberInfo, Settlement, Verdict
from vdb.errors import DefiniteError, InvalidArgument, TooLarge, error_for_refusal
from vdb.kernel import consumer_command as kernel
from vdb.kernel.command import Origin
from vdb.kernel.consumer_rules import check_terms
from vdb.kernel.reply import ConsumerCreated, ConsumerDeleted, ConsumerLeft, ConsumerSettled, Reply
from vdb.limits import CONSUMER_REASON_BYTES_MAX, SETTLEMENTS_PER_REQUEST_MAX
from vdb.node.consumers.consumer_fetching import ConsumerFetching
from vdb.node.consumers.consumer_gate import OnAnswer, Place, failure, unknown
from vdb.node.consumers.consumer_letters import ConsumerLetters
from vdb.node.consumers.consumer_request import (
    ConsumerRequest,
    PlainConsumerLeave,
    PlainConsumerSettle,
    PlainCreateConsumer,
    PlainDeleteConsumer,
    PlainSettlement,
)
from vdb.node.consumers.consumer_sealing import open_sealed, read_settings, settings_text, terms_of
from vdb.node.consumers.consumer_start import start_of
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.service import LINEARIZABLE, answered
from vdb.node.gate.writes import Failure
from vdb.node.replication.group import Group
from vdb.selection import StartKind
from vdb.types import U64_MAX, GroupId, ReadLevel, TenantId

_VERDICTS = {
    Verdict.ACK: kernel.Verdict.ACK,
    Verdict.NAK: kernel.Verdict.NAK,
    Verdict.EXTEND: kernel.Verdict.EXTEND,
    Verdict.TERM: kernel.Verdict.TERM,
    Verdict.UNTRIED: kernel.Verdict.UNTRIED,
}
_SOUGHT = (StartKind.OFFSET, StartKind.TIME)
"""Starts for which the log is looked at."""


class Consumers(ConsumerFetching, ConsumerLetters):
    """One per node. See the module's docstring, and those of its parts."""

    # Groups ----------------------------------------------------------------------------------------------------

    async def create(self, origin: Origin, tenant: int, group: str, name: str, settings: ConsumerSettings) -> bool:
        """True if it is new; False for one with the same settings. ConsumerExists if they differ, InvalidArgument."""

        def answer(_group: GroupId, reply: Reply) -> bool | Failure:
            return reply.created if isinstance(reply, ConsumerCreated) else failure(reply, name)

        try:
            found = self.find(tenant, group, name)
            if settings.start.kind in _SOUGHT:
                await self.confirm(found.group)
            start = await start_of(found.reader, found.tenant, settings)
            refusal = check_terms(terms_of(settings))
            if refusal is not None:
                raise error_for_refusal(refusal.code, refusal.message)
            request = PlainCreateConsumer(
                tenant=found.tenant,
                name=name,
                terms=terms_of(settings),
                start=start,
                settings=settings_text(name, settings),
            )
        except DefiniteError as error:
            refused = error
            return await answered(lambda on_answer: self.writes.refuse(origin, refused, answer, on_answer))
        return await answered(lambda on_answer: self.submit(origin, found, request, answer, on_answer))

    async def infos(self, tenant: int, group: str, name: str, *, level: ReadLevel = LINEARIZABLE) -> list[ConsumerInfo]:
        """The consumer of this name, or all of a group for an empty one. UnknownConsumer."""
        found = self.find(tenant, group, name)
        await self.service.reach(found.group, level)
        state = found.group.state
        if not name:
            lookups = state.consumers(found.tenant)
        else:
            lookup = self.find(tenant, group, name).lookup
            lookups = [lookup] if lookup and state.consumer(found.tenant, lookup) is not None else []
            if not lookups:
                raise unknown(found)
        return [self._info(found.group, found.tenant, lookup) for lookup in lookups]

    def _info(self, group: Group, tenant: TenantId, lookup: bytes) -> ConsumerInfo:
        state = group.state
        row, work = state.consumer(tenant, lookup), state.work(tenant, lookup)
        assert row is not None
        name, settings = read_settings(open_sealed(group.keyring, row.sealed), row.terms)
        members: dict[bytes, int] = {}
        for entry in work.entries:
            if entry[3]:
                members[entry[3]] = members.get(entry[3], 0) + 1
        in_flight = sum(members.values())
        return ConsumerInfo(
            name=name,
            group=group.name,
            settings=settings,
            position=work.cursor,
            head=state.tenant_head(tenant),
            in_flight=in_flight,
            waiting=len(work.entries) - in_flight,
            dead_letters=work.letters,
            acked=work.acked,
            delivered=work.delivered,
            created_at=row.created_at,
            members=tuple(MemberInfo(id=member, in_flight=count) for member, count in members.items()),
        )

    async def delete(self, origin: Origin, tenant: int, group: str, name: str) -> bool:
        """False if there was none."""

        def answer(_group: GroupId, reply: Reply) -> bool | Failure:
            return reply.deleted if isinstance(reply, ConsumerDeleted) else failure(reply, name)

        def build(found: Place) -> ConsumerRequest:
            return PlainDeleteConsumer(tenant=found.tenant, name=name)

        return await answered(lambda on_answer: self.write(origin, tenant, group, name, build, answer, on_answer))

    # Answers of members ------------------------------------------------------------------------------------------

    def settle_soon(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        member: bytes,
        settlements: Sequence[Settlement],
        on_answer: OnAnswer[list[int]],
    ) -> None:
        """Settle deliveries: the positions that aren't this member's in this attempt (any more). `on_answer` is called
        once, at once or after the commit."""

        def answer(_group: GroupId, reply: Reply) -> list[int] | Failure:
            return list(reply.late) if isinstance(reply, ConsumerSettled) else failure(reply, name)

        def build(found: Place) -> ConsumerRequest:
            if len(settlements) > SETTLEMENTS_PER_REQUEST_MAX:
                raise TooLarge(
                    f"{SETTLEMENTS_PER_REQUEST_MAX} deliveries are settled at once; found {len(settlements)}"
                )
            plain = tuple([_plain_settlement(one) for one in settlements])
            return PlainConsumerSettle(tenant=found.tenant, name=name, member=member, settlements=plain)

        self.write(origin, tenant, group, name, build, answer, on_answer)

    def leave_soon(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        member: bytes,
        on_answer: OnAnswer[int],
    ) -> None:
        """Give back what is out with a member: how many deliveries that were. `on_answer` is called once, at once or
        after the commit."""

        def answer(_group: GroupId, reply: Reply) -> int | Failure:
            return reply.returned if isinstance(reply, ConsumerLeft) else failure(reply, name)

        def build(found: Place) -> ConsumerRequest:
            return PlainConsumerLeave(tenant=found.tenant, name=name, member=member)

        self.write(origin, tenant, group, name, build, answer, on_answer)


def _plain_settlement(one: Settlement) -> PlainSettlement:
    check_text("a reason", one.reason, CONSUMER_REASON_BYTES_MAX)
    if not 0 <= one.position <= U64_MAX or not 0 <= one.attempt < 2**32 or not -(2**63) <= one.delay_us < 2**63:
        raise InvalidArgument("a settlement's position, attempt or delay is out of range")
    return PlainSettlement(one.position, one.attempt, _VERDICTS[one.verdict], one.delay_us, one.reason)
