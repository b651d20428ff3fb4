import pytest
from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.command import KeyScope, PutKey
from vdb.kernel.effect import StoreKey
from vdb.kernel.keys import check_key
from vdb.kernel.reply import KeyPut, Refusal
from vdb.types import DataClass


def test_a_key_is_put_once(primary) -> None:
    row = primary.key_row(1)
    assert primary.apply(PutKey(row=row)) == ((StoreKey(row),), KeyPut(row.dek_id))
    assert primary.state.key(row.dek_id) == row
    assert primary.apply(PutKey(row=row)) == ((), KeyPut(row.dek_id))


def test_another_value_for_a_key_is_refused(primary) -> None:
    row = primary.key_row(1)
    primary.apply(PutKey(row=row))
    effects, reply = primary.apply(PutKey(row=evolve(row, wrapped=b"\1" * 40)))
    assert effects == ()
    assert reply == Refusal(
        RefusalCode.INVALID_ARGUMENT, f"key {row.dek_id.hex()} is there already, with another value"
    )
    assert primary.state.key(row.dek_id) == row


def test_a_subject_key_holds_its_secret(primary) -> None:
    primary.put_keys(1)
    row = primary.key_row(1, KeyScope.SUBJECT, b"P" * 16)
    assert primary.apply(PutKey(row=row))[1] == KeyPut(row.dek_id)
    assert check_key(primary.state, evolve(row, wrapped_secret=b"")) == Refusal(
        RefusalCode.INVALID_ARGUMENT, "the wrapped secret of a SUBJECT key has 40 bytes; found 0"
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dek_id", b"1", "the dek_id of a TENANT key has 16 bytes; found 1"),
        ("lookup", b"12", "the lookup of a TENANT key has 32 bytes; found 2"),
        ("subject_token", b"", "the subject token of a TENANT key has 32 bytes; found 0"),
        ("kek_id", b"", "the kek_id of a TENANT key has 16 bytes; found 0"),
        ("wrapped", bytes(48), "the wrapped key of a TENANT key has 40 bytes; found 48"),
        ("wrapped_secret", b"1", "the wrapped secret of a TENANT key has 0 bytes; found 1"),
    ],
)
def test_a_row_of_another_shape_is_refused(primary, field, value, message) -> None:
    row = evolve(primary.key_row(1), **{field: value})
    assert check_key(primary.state, row) == Refusal(RefusalCode.INVALID_ARGUMENT, message)


def test_tenant_0_has_keys_for_its_audit_log_alone(primary) -> None:
    row = evolve(primary.key_row(1), tenant=0)
    assert check_key(primary.state, row) is None
    assert check_key(primary.state, evolve(row, scope=KeyScope.STREAM)) == Refusal(
        RefusalCode.INVALID_ARGUMENT, "a tenant id starts at 1; found 0"
    )


def test_the_global_group_holds_no_key_for_phi(global_primary) -> None:
    row = evolve(global_primary.key_row(1), data_class=DataClass.PHI)
    assert check_key(global_primary.state, row) == Refusal(
        RefusalCode.PLACEMENT_VIOLATION, "a key for PHI needs a region; found the global group"
    )


def test_a_key_is_wrapped_by_a_key_of_its_tenant(primary) -> None:
    primary.put_keys(1)
    row = primary.key_row(1, KeyScope.STREAM, b"N" * 16)
    assert check_key(primary.state, row) is None
    for kek_id in (b"?" * 16, primary.key_row(1, KeyScope.STREAM).dek_id):
        refusal = check_key(primary.state, evolve(row, kek_id=kek_id))
        assert refusal == Refusal(
            RefusalCode.INVALID_ARGUMENT,
            f"expected kek_id {kek_id.hex()} to be a key of tenant 1, found no such key",
        )
    foreign = check_key(primary.state, evolve(row, tenant=2))
    assert foreign is not None
    assert "to be a key of tenant 2" in foreign.message
