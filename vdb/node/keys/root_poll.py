"""Asks the other members of a group which root keys they were given, and answers them.

    lacking = await poll.lacking(group, key_id)     those who don't have it, each with what is known of it

Rules
- Who is asked reads its root keys again before it answers: they may just have been put where they come from.
- A question is repeated until it is answered, for a while: links lose messages. Who says nothing counts as lacking it.
- Told are ids of keys, never keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from vdb.marks import mark
from vdb.node.replication.group import Group
from vdb.types import GroupId
from vdb.vsr.message import RootKeysMessage

ANSWER_SECONDS_MAX = 3.0
AGAIN_SECONDS = 0.3
"""After which a question is asked again."""
QUESTIONS_MAX = 64
"""That wait to be answered; more are lost, and asked again."""


class RootPoll:
    """See the module's docstring. One per node; `run` it as long as the node runs. `refresh`: `RootWatch.refresh`."""

    def __init__(self, groups: Mapping[GroupId, Group], refresh: Callable[[], Awaitable[None]]) -> None:
        self._refresh = refresh
        self._number = 0
        self._answers: dict[int, dict[int, tuple[bytes, ...]]] = {}
        """Of the questions that wait: ids of root keys, by node."""
        self._answered = trio.Event()
        self._asked, self._questions = trio.open_memory_channel[tuple[Group, RootKeysMessage]](QUESTIONS_MAX)
        for group in groups.values():
            group.on_root_keys = partial(self._on_word, group)

    async def run(self) -> None:
        """Answer what others ask."""
        async for group, question in self._questions:
            await self._refresh()
            given, replica = group.keyring.roots.ids, group.replica.replica
            answer = RootKeysMessage(number=question.number, asks=False, given=given, replica=replica)
            group.send(question.replica, answer)

    async def lacking(self, group: Group, key_id: bytes) -> list[str]:
        """Members that don't have this root key, or don't say, in words."""
        self._number += 1
        number, answers = self._number, dict[int, tuple[bytes, ...]]()
        self._answers[number] = answers
        try:
            with trio.move_on_after(ANSWER_SECONDS_MAX):
                while silent := [node for node in self._others(group) if node not in answers]:
                    question = RootKeysMessage(number=number, asks=True, given=(), replica=group.replica.replica)
                    for node in silent:
                        group.send(node, question)
                    with trio.move_on_after(AGAIN_SECONDS):
                        await self._answered.wait()
        finally:
            del self._answers[number]
        return [
            f"{_name(group, node)}, {_of(answers.get(node))}"
            for node in self._others(group)
            if key_id not in answers.get(node, ())
        ]

    def _others(self, group: Group) -> list[int]:
        return [node for node in group.members if node != group.replica.replica]

    def _on_word(self, group: Group, message: RootKeysMessage) -> None:
        if message.asks:
            try:
                self._asked.send_nowait((group, message))
            except trio.WouldBlock:
                mark("root_poll.lost")
            return
        answers = self._answers.get(message.number)
        if answers is None or message.replica not in group.members:
            mark("root_poll.late")
            return
        answers[message.replica] = message.given
        answered, self._answered = self._answered, trio.Event()
        answered.set()


def _name(group: Group, node: int) -> str:
    address = group.address_of(node)
    return f"node {node} at {address}" if address else f"node {node}"


def _of(given: tuple[bytes, ...] | None) -> str:
    if given is None:
        return "which doesn't answer"
    return "which has " + (", ".join(key_id.hex() for key_id in given) or "none")
