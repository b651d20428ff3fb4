"""What the command line reads as a value and what as an option."""

from __future__ import annotations

import os
from typing import Any

import pytest

from vdb.cli.main import make_app


def parsed(*arguments: str) -> dict[str, Any]:
    _, bound, _ = make_app(arguments).parse_args(list(arguments), exit_on_error=False, print_error=False)
    return dict(bound.arguments)


@pytest.mark.parametrize("text", ["-x", "-1", "--payload", "- item"])
def test_a_payload_may_start_with_a_hyphen(text: str) -> None:
    found = parsed("publish", "--stream", "notes", "--payload", text, "--payload", "plain", "--json")
    assert found["payload"] == [text, "plain"]
    assert found["options"].json is True


def test_an_order_may_be_downwards() -> None:
    found = parsed("projection", "rows", "--projection", "p", "--order-by", "-time_us", "--order-by", "id", "--json")
    assert found["order_by"] == ["-time_us", "id"]
    assert found["options"].json is True


def test_an_empty_variable_counts_as_unset(run_here: Any) -> None:
    empty = {f"VDB_{name}": "" for name in ("ADDRESS", "TENANT", "TLS_CERT", "TLS_KEY", "TLS_CA")}
    found = run_here("projection", "rows", "--projection", "p", "--where", "x", env=empty)
    assert found.code == 2
    assert "--where reads COLUMN=TEXT" in found.err
    assert not [name for name in empty if name in os.environ]
