"""`vdb import fhir`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, error_console, print_json, print_text, visible
from vdb.errors import ConfigError
from vdb.fhir.importer import FhirImporter, ImportReport, Rejected
from vdb.fhir.importer import Progress as ImportProgress

_SUFFIX = ".ndjson"

app = App(name="import", help="Import data.")


@app.command
async def fhir(directory: Path, /, *, placement: str | None = None, options: TenantOptions = TENANT) -> int:
    """Import a FHIR R4 bulk export: a directory of NDJSON files, one or more for each resource type.

    Run it again to resume: what is there already is skipped. A bad line is reported, and the rest goes on; the exit
    code is 1 then. The streams are called fhir.TYPE, such as fhir.Patient.

    Example: `vdb import fhir export/ --placement ap-southeast-2`

    Parameters
    ----------
    directory
        The directory with the *.ndjson files.
    placement
        The region for PHI; without it, the region of the node. The rest is global.
    """
    paths, packed = _find(directory)
    total = sum(path.stat().st_size for path in paths)
    bar = _bar() if sys.stderr.isatty() and not options.json else None
    with bar or nullcontext():
        task = None if bar is None else bar.add_task("importing", total=total)

        def on_progress(progress: ImportProgress) -> None:
            if bar is not None and task is not None:
                bar.update(task, completed=progress.bytes, description=progress.file)

        async with options.tenant_client() as client:
            region = placement or (await client.status()).region
            importer = FhirImporter(client, region, on_progress=on_progress, on_rejected=_report)
            report = await importer.run((path.name, _lines(path)) for path in paths)
    _print(report, packed, options.json)
    return EXIT_FAILED if report.rejected else EXIT_OK


def _find(directory: Path) -> tuple[list[Path], list[str]]:
    """The files in the order of their names, and the names of packed ones. ConfigError if there are none to import."""
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    paths = [path for path in found if path.name.endswith(_SUFFIX)]
    packed = [path.name for path in found if f"{_SUFFIX}." in path.name and path not in paths]
    if not paths:
        only = f", only packed ones such as {packed[0]}: unpack them first" if packed else ""
        raise ConfigError(f"{directory} isn't a directory with *{_SUFFIX} files{only}")
    return paths, packed


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip(b"\r\n")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("bytes"),
        TimeRemainingColumn(),
        console=error_console(),
    )


def _report(rejected: Rejected) -> None:
    sys.stderr.write(f"{visible(rejected.file)}:{rejected.line}: {visible(rejected.reason)}\n")


def _print(report: ImportReport, packed: list[str], as_json: bool) -> None:
    found: dict[str, Any] = {
        "resources": report.resources,
        "appended": report.appended,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
    }
    if as_json:
        print_json({**found, "unattributed": report.unattributed, "skipped_files": [*report.skipped_files, *packed]})
        return
    print_text(", ".join(f"{count} {name}" for name, count in found.items()))
    for name in report.skipped_files:
        sys.stderr.write(f"{visible(name)}: passed over, it isn't named for a resource type\n")
    for name in packed:
        sys.stderr.write(f"{visible(name)}: passed over, it is packed; unpack it first\n")
