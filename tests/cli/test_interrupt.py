"""Ctrl-C ends a command with exit code 130, wherever it lands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vdb.cli import status


@pytest.mark.parametrize("depth", [1, 2])
def test_an_interrupt_inside_a_task_group(
    run_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    def version(**_: Any) -> None:
        error: BaseException = KeyboardInterrupt()
        for _level in range(depth):
            error = BaseExceptionGroup("tasks", [error])
        raise error

    monkeypatch.setattr(status, "version", version)
    found = run_here("version")
    assert (found.code, found.err) == (130, "")


def test_another_group_of_errors_comes_out(run_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def version(**_: Any) -> None:
        raise ExceptionGroup("tasks", [KeyError("a bug")])

    monkeypatch.setattr(status, "version", version)
    with pytest.raises(ExceptionGroup):
        run_here("version")
