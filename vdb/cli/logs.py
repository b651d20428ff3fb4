"""A node's log: structured lines on standard error, as text or JSON, rendered by structlog."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

LogFormat = Literal["text", "json"]


class StructlogHandler(logging.Handler):
    """Renders records of the standard library; the fields that the node adds stand in their attribute `fields`."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        renderer: Any
        if log_format == "json":
            renderer = structlog.processors.JSONRenderer()
        else:
            renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
        )

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        if record.exc_info:
            fields = {**fields, "error": str(record.exc_info[1])}
        write = self._logger.warning if record.levelno >= logging.WARNING else self._logger.info
        write(record.getMessage(), **fields)


def set_up_logs(log_format: LogFormat) -> logging.Logger:
    """Send the log of everything in `vdb` to standard error; returns the command's own logger."""
    logger = logging.getLogger("vdb")
    logger.handlers = [StructlogHandler(log_format)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
