"""Ctrl-C ends a command with exit code 130 and without a word, wherever it lands and whatever comes of it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.cli import status
from vdb.errors import ConnectionLost

Here = Callable[..., Any]


@pytest.fixture
def run_as(run_here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run a function as if it were a command."""

    def run(command: Callable[..., Any]) -> Any:
        monkeypatch.setattr(status, "version", command)
        return run_here("version")

    return run


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_command_that_waits_is_cancelled(run_as: Here) -> None:
    cleaned = []

    async def version() -> None:
        interrupt()
        try:
            await trio.sleep_forever()
        finally:
            cleaned.append("up")

    found = run_as(version)
    assert (found.code, found.out, found.err) == (130, "", "")
    assert cleaned == ["up"]


def test_an_interrupt_lands_between_a_command_s_awaits(run_as: Here) -> None:
    """What runs without waiting isn't torn apart; the command ends where it waits next."""
    done = []

    async def version() -> None:
        try:
            interrupt()
            done.append("one")
        except BaseException:
            done.append("torn")
        done.append("two")
        await trio.sleep_forever()
        done.append("three")

    assert run_as(version).code == 130
    assert done == ["one", "two"]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("the stream broke while it was being left"),
        OSError("it can't be closed"),
        KeyError("a bug that an interrupt brings out"),
        BaseExceptionGroup("tasks", [KeyboardInterrupt(), ValueError()]),
    ],
)
def test_another_error_in_its_place(run_as: Here, error: BaseException) -> None:
    async def version() -> None:
        interrupt()
        try:
            await trio.sleep_forever()
        finally:
            raise error

    found = run_as(version)
    assert (found.code, found.out, found.err) == (130, "", "")


def test_an_interrupt_that_is_swallowed(run_as: Here) -> None:
    def version() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            interrupt()
        return 0

    assert run_as(version).code == 130


def test_an_interrupt_outside_of_trio(run_as: Here) -> None:
    found = run_as(interrupt_command)
    assert (found.code, found.err) == (130, "")


def interrupt_command() -> None:
    interrupt()


def test_the_handler_is_gone_afterwards(run_as: Here) -> None:
    before = signal.getsignal(signal.SIGINT)
    run_as(interrupt_command)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_errors_come_out(run_as: Here) -> None:
    def version() -> None:
        raise ExceptionGroup("tasks", [KeyError("a bug")])

    with pytest.raises(ExceptionGroup):
        run_as(version)
