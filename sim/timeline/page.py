"""The page: one HTML file with a space-time diagram of a run, which needs nothing but a browser.

The run is a JSON object in the element `run`, the program in scripts beside it; both are written into the page, so it
can be kept, sent and opened anywhere.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from sim.result import Result
from sim.timeline.event import Event
from sim.timeline.weave import columns, lane_names, spans

FOLDER = Path(__file__).parent / "page"
SCRIPTS = ("model.js", "draw.js", "view.js", "list.js", "main.js")
"""In the order in which they are run."""


def page_data(events: Sequence[Event], result: Result, commands: Mapping[str, str]) -> dict[str, Any]:
    """The object that the page reads. `commands` has 'replay' and 'shrink'."""
    lanes = lane_names(events)
    violations = [index for index, event in enumerate(events) if event.kind == "violation"]
    return {
        "run": {
            **result.as_json(),
            "commands": dict(commands),
            "faults": {kind: count for kind, count in sorted(result.faults.items()) if count},
        },
        "lanes": lanes,
        "opens_at": violations[0] if violations else len(events) - 1,
        "spans": attrs.asdict(spans(events)),
        "events": columns(events, lanes),
    }


def render(events: Sequence[Event], result: Result, commands: Mapping[str, str]) -> str:
    """The whole page."""
    verdict = "holds" if result.violation is None else f"{result.violation.invariant} broke"
    data = json.dumps(page_data(events, result, commands), separators=(",", ":"), ensure_ascii=False)
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(f"seed {result.seed}: {verdict}"),
        "STYLE": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "DATA": data.replace("<", "\\u003c"),
        "SCRIPT": "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    return re.sub("@@([A-Z]+)@@", lambda found: parts[found[1]], page)
