import pytest
from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.command import ANY, KeyScope, PutKey, RewrapKeys, StartPeriod
from vdb.kernel.effect import StoreKey, TurnToRootKey
from vdb.kernel.reply import KeysRewrapped, PeriodStarted, Refusal
from vdb.kernel.rows import CREATED_AT, Rotation
from vdb.kernel.state import State
from vdb.kernel.tables import KEYS, Table
from vdb.limits import KEY_PERIODS_MAX, REWRAPPED_KEYS_MAX

NEW = b"R" * 16


def rewrapped(row):
    return evolve(row, kek_id=NEW, kek_version=2, wrapped=b"w" * 40)


def invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, message)


def begin(primary) -> None:
    assert primary.apply(RewrapKeys(root_key_id=NEW, begins=True)) == ((TurnToRootKey(NEW),), KeysRewrapped(0))


def test_a_rotation_begins_at_its_time(primary) -> None:
    assert primary.state.rotation() is None
    begin(primary)
    assert primary.state.rotation() == Rotation(root_key_id=NEW, began_at=primary.clock, changed_at=primary.clock)


def test_a_key_that_is_wrapped_anew_keeps_all_but_its_wrap(primary) -> None:
    primary.put_keys(1)
    row = primary.key_row(1)
    put_at = primary.state.rows[KEYS][row.dek_id][CREATED_AT]
    begin(primary)
    effects, reply = primary.apply(RewrapKeys(root_key_id=NEW, rows=(rewrapped(row),)))
    assert (effects, reply) == ((StoreKey(rewrapped(row)),), KeysRewrapped(1))
    assert primary.state.key(row.dek_id) == rewrapped(row)
    assert primary.state.rows[KEYS][row.dek_id][CREATED_AT] == put_at
    assert primary.state.rotation().changed_at == primary.clock > primary.state.rotation().began_at


def test_a_step_needs_the_rotation_to_its_root_key(primary) -> None:
    primary.put_keys(1)
    step = RewrapKeys(root_key_id=NEW, rows=(rewrapped(primary.key_row(1)),))
    wanted = f"expected a rotation to root key {NEW.hex()} to have begun, found "
    assert primary.apply(step)[1] == invalid(wanted + "none")
    primary.apply(RewrapKeys(root_key_id=b"O" * 16, begins=True))
    assert primary.apply(step)[1] == invalid(wanted + f"one to {(b'O' * 16).hex()}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dek_id": b"?" * 16}, f"expected key {(b'?' * 16).hex()} to be a tenant's key, found no such key"),
        ({"kek_id": b"X" * 16}, "under root key"),
        ({"wrapped": b"short"}, "found another wrap"),
        ({"kek_version": 7}, "is the same key when it is wrapped anew; found another row"),
        ({"tenant": 2}, "is the same key when it is wrapped anew; found another row"),
    ],
)
def test_another_key_under_the_same_name_is_refused(primary, change, message) -> None:
    primary.put_keys(1)
    begin(primary)
    before = primary.state.rows[KEYS]
    step = RewrapKeys(root_key_id=NEW, rows=(evolve(rewrapped(primary.key_row(1)), **change),))
    reply = primary.apply(step)[1]
    assert reply.code is RefusalCode.INVALID_ARGUMENT
    assert message in reply.message
    assert primary.state.rows[KEYS] == before


def test_what_is_no_step_is_refused(primary) -> None:
    primary.put_keys(1)
    begin(primary)
    row = rewrapped(primary.key_row(1))
    for command, message in (
        (RewrapKeys(root_key_id=b"1", begins=True), "a root key's id has 16 bytes; found 1"),
        (RewrapKeys(root_key_id=NEW, begins=True, rows=(row,)), "a rotation begins without rows"),
        (RewrapKeys(root_key_id=NEW, rows=(row, row)), "a key is re-wrapped once in a step; found one twice"),
        (
            RewrapKeys(root_key_id=NEW, rows=(row,) * (REWRAPPED_KEYS_MAX + 1)),
            f"at most {REWRAPPED_KEYS_MAX} keys are re-wrapped at once; found {REWRAPPED_KEYS_MAX + 1}",
        ),
    ):
        assert primary.apply(command)[1] == invalid(message)
    primary.apply(PutKey(row=primary.key_row(1, KeyScope.STREAM)))
    stream_key = evolve(primary.key_row(1, KeyScope.STREAM), kek_id=NEW, kek_version=2)
    assert "to be a tenant's key" in primary.apply(RewrapKeys(root_key_id=NEW, rows=(stream_key,)))[1].message


def test_periods_follow_one_another(primary) -> None:
    primary.put_keys(1)
    primary.create(1, "notes")
    assert primary.state.key_period(1) == 0
    assert primary.state.period_began(1, 0) == 0
    for period in (1, 2):
        assert primary.apply(StartPeriod(tenant=1, period=period)) == ((), PeriodStarted(period))
        assert primary.state.key_period(1) == period
        assert primary.state.period_began(1, period) == primary.clock
    assert primary.apply(StartPeriod(tenant=1, period=2))[1] == invalid("expected period 3 of tenant 1, found 2")
    assert primary.apply(StartPeriod(tenant=2, period=1))[1] == Refusal(
        RefusalCode.UNKNOWN_TENANT, "tenant 2 has no stream in group eu-west-1"
    )


def test_a_rotation_begins_once_under_an_id(primary) -> None:
    first = RewrapKeys(root_key_id=NEW, begins=True, rotation_id=b"1" * 16)
    primary.apply(first)
    begun = primary.state.rotation()
    assert begun.rotation_id == b"1" * 16
    assert primary.apply(first) == ((), KeysRewrapped(0)), "an attempt whose answer was lost"
    assert primary.apply(evolve(first, root_key_id=b"S" * 16)) == ((), KeysRewrapped(0))
    assert primary.state.rotation() == begun
    primary.apply(evolve(first, rotation_id=b"2" * 16))
    assert primary.state.rotation().began_at == primary.clock > begun.began_at
    primary.apply(RewrapKeys(root_key_id=NEW))
    assert primary.state.rotation().rotation_id == b"2" * 16, "a step leaves the id"
    for _ in range(2):
        begin(primary)
        assert primary.state.rotation().began_at == primary.clock, "without an id each one begins"
    short = RewrapKeys(root_key_id=NEW, begins=True, rotation_id=b"1")
    assert primary.apply(short)[1] == invalid("a rotation's id has 16 bytes, or none; found 1")


def test_a_period_starts_once_under_an_id(primary) -> None:
    for tenant in (1, 2):
        primary.put_keys(tenant)
        primary.create(tenant, "notes")
    first = StartPeriod(tenant=1, period=1, rotation_id=b"1" * 16)
    assert primary.apply(first) == ((), PeriodStarted(1))
    assert primary.apply(evolve(first, period=2)) == ((), PeriodStarted(1)), "predicted as the next one"
    assert primary.state.key_period(1) == 1
    assert primary.apply(evolve(first, tenant=2)) == ((), PeriodStarted(1)), "each tenant has ids of its own"
    assert primary.apply(StartPeriod(tenant=1, period=2, rotation_id=b"2" * 16)) == ((), PeriodStarted(2))
    assert primary.apply(StartPeriod(tenant=1, period=3)) == ((), PeriodStarted(3))
    short = StartPeriod(tenant=1, period=4, rotation_id=b"1")
    assert primary.apply(short)[1] == invalid("a rotation's id has 16 bytes, or none; found 1")


def test_periods_are_bounded(primary) -> None:
    primary.put_keys(1)
    primary.create(1, "notes")
    for period in range(1, KEY_PERIODS_MAX + 1):
        primary.apply(StartPeriod(tenant=1, period=period))
    assert primary.apply(StartPeriod(tenant=1, period=KEY_PERIODS_MAX + 1))[1] == Refusal(
        RefusalCode.TOO_LARGE, f"a tenant has at most {KEY_PERIODS_MAX} periods of keys"
    )


def test_a_key_of_a_period_that_has_ended_seals_nothing(primary) -> None:
    primary.put_keys(1)
    stream = primary.create(1, "notes")
    primary.append(1, (stream, ANY, [1]))
    primary.apply(StartPeriod(tenant=1, period=1))
    with pytest.raises(AssertionError, match="the record's key is of period 0, this is period 1"):
        primary.append(1, (stream, ANY, [1]))


def test_a_stream_can_still_be_made_in_a_new_period(primary) -> None:
    """Names lie under a key of their own, which has no periods."""
    primary.put_keys(1)
    primary.create(1, "notes")
    primary.apply(StartPeriod(tenant=1, period=1))
    primary.create(1, "letters")


def test_rotation_and_periods_are_in_the_rows(primary) -> None:
    primary.put_keys(1)
    primary.create(1, "notes")
    begin(primary)
    primary.apply(StartPeriod(tenant=1, period=1))
    state = primary.state
    rows = [(table, key, value) for table, found in state.tables().items() for key, value in found.items()]
    again = State.from_rows(state.group, state.sessions_max, rows, state.event_ids_max)
    assert again.digest() == state.digest()
    assert again.rotation() == state.rotation()
    assert (again.key_period(1), again.period_began(1, 1)) == (1, primary.clock)
    assert len(state.rows[Table.KEY_PERIODS]) == 2


def test_tenants_keys_are_found_among_all(primary) -> None:
    for tenant in (2, 1):
        primary.put_keys(tenant)
    assert list(primary.state.tenant_keys()) == [primary.key_row(1), primary.key_row(2)]
