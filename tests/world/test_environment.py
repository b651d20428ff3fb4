"""Variables of the environment, and their defaults."""

from __future__ import annotations

import pytest

from vdb.errors import ConfigError
from vdb.types import DEFAULT_ADDRESS
from vdb.world.environment import default_address, default_tenant, forget_empty_variables


def test_defaults() -> None:
    for environ in ({}, {"VDB_ADDRESS": "", "VDB_TENANT": ""}):
        assert default_address(environ) == DEFAULT_ADDRESS
        assert default_tenant(environ) == 1


def test_what_is_set_counts() -> None:
    environ = {"VDB_ADDRESS": "127.0.0.1:9", "VDB_TENANT": "12"}
    assert (default_address(environ), default_tenant(environ)) == ("127.0.0.1:9", 12)


@pytest.mark.parametrize("text", ["one", "-1", "1.5", "²"])
def test_a_tenant_that_is_no_number(text: str) -> None:
    with pytest.raises(ConfigError, match="VDB_TENANT: expected a tenant's number, found"):
        default_tenant({"VDB_TENANT": text})


def test_empty_variables_of_ours_are_unset() -> None:
    environ = {"VDB_ADDRESS": "", "VDB_TENANT": "2", "OTHER": ""}
    forget_empty_variables(environ)
    assert environ == {"VDB_TENANT": "2", "OTHER": ""}
