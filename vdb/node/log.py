"""The node's log: events with fields, through the standard library's logging, so that a program that embeds a node
hears nothing it didn't ask for. `vdb start` renders them with structlog.

Rules
- No field holds a subject, a payload, a key, or a name that somebody gave to data: numbers stand there, and the `sign`
  of a name. Groups, nodes, addresses, projections (which are the program's), and who asks are named.
- What goes wrong is told by `reason`: in the error's own words where these are about machines alone. The words of
  others may be a handler's, or SQLite's about a row: of these the kind is told. `vdb status` tells all, to those who
  may ask.
"""

from __future__ import annotations

import logging
from hashlib import sha256

from vdb.errors import (
    AuditUnavailable,
    ConnectionLost,
    CryptoError,
    DatabaseDamaged,
    NotAuthenticated,
    NotPrimary,
    NotReady,
    Overloaded,
    PrimaryLost,
    ProjectionFailed,
    StartError,
    StorageError,
    Timeout,
    VerityError,
    WireError,
)

_logger = logging.getLogger("vdb.node")
_logger.addHandler(logging.NullHandler())

_OF_MACHINES = (
    AuditUnavailable,
    CryptoError,
    ConnectionLost,
    NotAuthenticated,
    NotPrimary,
    NotReady,
    Overloaded,
    PrimaryLost,
    ProjectionFailed,
    StartError,
    StorageError,
    Timeout,
    WireError,
    OSError,
)
"""Their words are the project's own, and hold no value: of a failed handler they tell projection, position and kind."""
_SIGN_DIGITS = 12


def info(event: str, **fields: object) -> None:
    """Log an event of normal operation. The fields are in the record's attribute `fields`."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """Log what an operator should look at."""
    _logger.warning(event, extra={"fields": fields})


def reason(error: BaseException) -> str:
    """What the log may say of an error: its words, or its kind, code and cause's kind."""
    if isinstance(error, _OF_MACHINES) and not isinstance(error, DatabaseDamaged):
        return str(error)
    told = type(error).__name__
    code = getattr(error, "code", None)
    if isinstance(error, VerityError) and code is not None:
        told = f"{told} {code.value}"
    return told if error.__cause__ is None else f"{told}, from {type(error.__cause__).__name__}"


def sign(name: str) -> str:
    """What stands for a name: the same for the same one (`printf NAME | sha256sum | cut -c 1-12`)."""
    return sha256(name.encode()).hexdigest()[:_SIGN_DIGITS]
