"""The exception tree: what it draws is what there is."""

from __future__ import annotations

import inspect
import re

import pytest

from vdb import errors
from vdb.errors import REFUSALS, DefiniteError, IndefiniteError, RefusalCode, VerityError, error_for_refusal

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, VerityError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_drawn_in_the_tree(cls: type[VerityError]) -> None:
    assert re.search(rf"\b{cls.__name__}\b", errors.__doc__ or "")


def test_no_error_is_definite_and_indefinite() -> None:
    assert not [cls for cls in CLASSES if issubclass(cls, DefiniteError) and issubclass(cls, IndefiniteError)]


@pytest.mark.parametrize("code", RefusalCode)
def test_every_code_has_an_error_and_the_error_has_the_code(code: RefusalCode) -> None:
    error = error_for_refusal(code, "why")
    assert error.code is code
    assert str(error) == "why"
    assert isinstance(error, REFUSALS[code])
