"""The `vdb` command. Commands stand in one module for each noun; here they meet, and their errors become exit codes.

Exit codes: 0 fine; 1 refused or failed; 2 bad usage, or a node that can't start; 3 it may have happened; 130
interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from vdb.cli.interrupt import Interrupts
from vdb.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, exit_code, print_error
from vdb.errors import VerityError
from vdb.version import VERSION
from vdb.world.environment import forget_empty_variables

# Loaded by need: `vdb status` shouldn't wait for the imports of a whole node.
_COMMANDS = (
    ("start", "vdb.cli.start:start", "Start a node."),
    ("stream", "vdb.cli.stream:app", "Create, list and show streams."),
    ("publish", "vdb.cli.events:publish", "Append events to a stream."),
    ("read", "vdb.cli.events:read", "Read a stream, or a group's log."),
    ("events", "vdb.cli.finding:events", "Print events by stream, prefix, type and time, both ways."),
    ("consume", "vdb.cli.consume:consume", "Take deliveries of a consumer group."),
    ("consumer", "vdb.cli.consumer:app", "Create, list and show consumer groups, and settle their dead letters."),
    ("status", "vdb.cli.status:status", "Show a node or a cluster, its groups and its projections."),
    ("identity", "vdb.cli.identity:app", "Who asks: certificates of clients, tokens, and whom a node takes one for."),
    ("cluster", "vdb.cli.cluster:app", "Set up a cluster, and change its members."),
    ("sql", "vdb.cli.sql.command:sql", "Run SQL on a database, or talk with it."),
    ("migrate", "vdb.cli.migrate:app", "Bring a SQL database's schema up to a folder of migrations."),
    ("projection", "vdb.cli.projection:app", "Look at projections."),
    ("audit", "vdb.cli.audit:app", "Signed heads of the log, and proofs that hold without a server."),
    ("placement", "vdb.cli.placement:app", "Proof of where each record may lie."),
    ("witness", "vdb.cli.witness:app", "Cosign heads of logs that only grew since they were last seen."),
    ("key", "vdb.cli.key:app", "Make root keys, rotate keys while nodes serve, and show where that stands."),
    ("policy", "vdb.cli.policy:app", "Check a policy file, explain it, apply it, and show what holds."),
    ("break-glass", "vdb.cli.break_glass:app", "Open an exception in an emergency, and review those that were opened."),
    ("consent", "vdb.cli.consent:app", "Record and list what subjects consent to."),
    ("attest", "vdb.cli.attesting:attest", "Record that an expert holds a stream to be de-identified."),
    ("erase", "vdb.cli.erase:app", "Erase a subject on all nodes, and show who has acknowledged."),
    ("hold", "vdb.cli.hold:app", "Place, release and list legal holds."),
    ("retention", "vdb.cli.retention:app", "Say how long events of streams are kept, and erase what has expired."),
    ("import", "vdb.cli.importing:app", "Import data."),
    ("demo", "vdb.cli.demo.command:demo", "Watch a node take a clinic's day, be killed, and keep every promise."),
    ("version", "vdb.cli.status:version", "Print the version."),
)


def make_app(arguments: Sequence[str]) -> App:
    """All commands. The one that is called speaks for itself; the others have a line in the list."""
    app = App(
        name="vdb",
        help="VerityDB: a replicated, encrypted, tamper-evident database for clinics. Try: vdb demo",
        version=VERSION,
        help_format="markdown",
        default_parameter=Parameter(negative=""),
    )
    for name, home, summary in _COMMANDS:
        app.command(home, name=name, help=None if name in arguments[:1] else summary)
    return app


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # What the locale can't show is shown as an escape: output never fails over a letter.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    with Interrupts() as interrupts:
        try:
            code = _run(arguments, interrupts)
        except BaseException as error:
            # An interrupt may come out as another error, if it landed where one was being handled.
            if not interrupts.happened and not isinstance(error, KeyboardInterrupt):
                raise
            return EXIT_INTERRUPTED
        return EXIT_INTERRUPTED if interrupts.happened else code


def _run(arguments: Sequence[str], interrupts: Interrupts) -> int:
    forget_empty_variables()
    as_json = "--json" in arguments
    try:
        command, bound, _ = make_app(arguments).parse_args(list(arguments), exit_on_error=False, print_error=False)
        result = interrupts.call(command, bound)
        sys.stdout.flush()
    except CycloptsError as error:
        message = str(error).strip().splitlines()
        print_error(f"{message[-1] if message else error}; see `vdb --help`", as_json=as_json, code="BAD_USAGE")
        return EXIT_USAGE
    except BrokenPipeError:
        # Whoever read our output has gone. Nothing more can be said, also not by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (VerityError, OSError) as error:
        if interrupts.happened:
            return EXIT_INTERRUPTED
        print_error(error if isinstance(error, VerityError) else str(error), as_json=as_json, code="OS_ERROR")
        return exit_code(error)
    return result if isinstance(result, int) else EXIT_OK
