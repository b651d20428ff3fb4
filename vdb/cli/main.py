"""The `vdb` command. Commands stand in one module for each noun; here they meet, and their errors become exit codes.

Exit codes: 0 fine; 1 refused or failed; 2 bad usage, or a node that can't start; 3 it may have happened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from vdb.cli import demo, events, importing, projection, start, status, stream
from vdb.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, exit_code, print_error
from vdb.errors import VerityError
from vdb.version import VERSION

app = App(
    name="vdb",
    help="VerityDB: a replicated, encrypted, tamper-evident database for clinics. Try `vdb demo`.",
    version=VERSION,
    backend="trio",
    help_format="markdown",
)
start.register(app)
app.command(stream.app)
events.register(app)
status.register(app)
app.command(projection.app)
app.command(importing.app)
demo.register(app)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    as_json = "--json" in arguments
    try:
        result = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        message = str(error).strip().splitlines()
        print_error(f"{message[-1] if message else error}; see `vdb --help`", as_json=as_json, code="BAD_USAGE")
        return EXIT_USAGE
    except BrokenPipeError:
        # Whoever read our output has gone. Nothing more can be said, also not by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except VerityError as error:
        print_error(error, as_json=as_json)
        return exit_code(error)
    except OSError as error:
        print_error(str(error), as_json=as_json, code="OS_ERROR")
        return EXIT_FAILED
    return result if isinstance(result, int) else EXIT_OK
