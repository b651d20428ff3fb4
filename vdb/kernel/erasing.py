"""Which rule executes which of the commands by which data end."""

from __future__ import annotations

from typing import assert_never

from vdb.kernel.draft import Draft
from vdb.kernel.erasure import acknowledge, erase_subject
from vdb.kernel.erasure_command import (
    AckErasure,
    EraseSubject,
    ErasureCommand,
    Prune,
    PutHold,
    PutRetention,
    ReleaseHold,
)
from vdb.kernel.holds import put_hold, put_retention, release_hold
from vdb.kernel.pruning import prune
from vdb.kernel.reply import Reply


def erase(draft: Draft, command: ErasureCommand) -> Reply:
    match command:
        case EraseSubject():
            return erase_subject(draft, command)
        case AckErasure():
            return acknowledge(draft, command)
        case PutHold():
            return put_hold(draft, command)
        case ReleaseHold():
            return release_hold(draft, command)
        case PutRetention():
            return put_retention(draft, command)
        case Prune():
            return prune(draft, command)
        case _:
            assert_never(command)
