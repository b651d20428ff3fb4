"""The node's log: events with fields, through the standard library's logging, so that a program that embeds a node
hears nothing it didn't ask for. `vdb start` renders them with structlog.

No field holds a name, a subject, a payload or a key.
"""

from __future__ import annotations

import logging

_logger = logging.getLogger("vdb.node")
_logger.addHandler(logging.NullHandler())


def info(event: str, **fields: object) -> None:
    """Log an event of normal operation. The fields are in the record's attribute `fields`."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """Log what an operator should look at."""
    _logger.warning(event, extra={"fields": fields})
