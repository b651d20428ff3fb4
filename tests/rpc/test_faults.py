import pytest

from vdb.errors import LearnerBehind, NotPrimary, NotReady, PrimaryLost, SqlFailed
from vdb.rpc.faults import error_from_exception, fault_from_error
from vdb.rpc.message import FaultKind


@pytest.mark.parametrize("primary", ["", "127.0.0.1:7141", "[::1]:7140"])
def test_who_is_primary_travels_with_the_refusal(primary: str) -> None:
    fault = fault_from_error(NotPrimary("group eu-west-1 has another primary; ask it", primary))
    assert fault.reason == f"NOT_PRIMARY: primary={primary}; group eu-west-1 has another primary; ask it"
    back = error_from_exception(fault.kind, fault.reason)
    assert isinstance(back, NotPrimary)
    assert (str(back), back.primary) == ("group eu-west-1 has another primary; ask it", primary)


def test_a_refusal_without_an_address_is_one_too() -> None:
    back = error_from_exception(FaultKind.FAILED, "NOT_PRIMARY: not here")
    assert isinstance(back, NotPrimary)
    assert (str(back), back.primary) == ("not here", "")


def test_a_primary_that_was_lost_leaves_the_outcome_open() -> None:
    fault = fault_from_error(PrimaryLost("send it again"))
    assert fault.kind is FaultKind.DISCONNECTED
    back = error_from_exception(fault.kind, fault.reason)
    assert isinstance(back, PrimaryLost)
    assert str(back) == "send it again"


@pytest.mark.parametrize("kind", [NotReady, LearnerBehind])
def test_what_may_be_asked_again_keeps_its_kind(kind: type[NotReady]) -> None:
    fault = fault_from_error(kind("later"))
    back = error_from_exception(fault.kind, fault.reason)
    assert type(back) is kind
    assert str(back) == "later"


@pytest.mark.parametrize("in_transaction", [True, False])
def test_what_sqlite_said_keeps_its_kind_its_code_and_the_transaction(in_transaction: bool) -> None:
    error = SqlFailed("UNIQUE constraint failed: t.a; t.b", "IntegrityError", 2067, in_transaction=in_transaction)
    fault = fault_from_error(error)
    assert fault.reason.startswith("SQL_FAILED: IntegrityError 2067 ")
    back = error_from_exception(fault.kind, fault.reason)
    assert isinstance(back, SqlFailed)
    assert (str(back), back.kind, back.sqlite_errorcode) == (str(error), "IntegrityError", 2067)
    assert back.in_transaction is in_transaction


@pytest.mark.parametrize("reason", ["no such table: t", "OperationalError x open; no", "A 1 ajar; no"])
def test_what_sqlite_said_in_another_form_is_still_said(reason: str) -> None:
    back = error_from_exception(FaultKind.FAILED, f"SQL_FAILED: {reason}")
    assert isinstance(back, SqlFailed)
    assert (str(back), back.kind, back.sqlite_errorcode) == (reason, "OperationalError", 1)
