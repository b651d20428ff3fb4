"""The command `vdb demo`."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from vdb.cli.demo.checks import ReadBack, Search, compare, read_all, search
from vdb.cli.demo.cluster import ClusterDemo
from vdb.cli.demo.day import Ledger, PlannedEvent, create_streams, plan_day, publish_day
from vdb.cli.demo.process import NodeProcess
from vdb.cli.demo.story import Story, command_name
from vdb.cli.options import Json
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, time_text
from vdb.client.client import Client
from vdb.client.connect import connect
from vdb.client.values import Rows
from vdb.node.node import first_cause
from vdb.notebar.events import APPOINTMENTS, NOTES, PATIENTS, PROVIDERS, NoteCreated, PatientCreated
from vdb.world.keys import generate_root_key

REGION = "ap-southeast-2"
NAME_LENGTH_MIN = 6
"""A shorter name might stand in ciphertext by chance."""

_CONFIG = """\
# The demo's node. Start it again with: vdb start --config {config}
[node]
name = "demo"
region = "{region}"
data-dir = "data"
key-file = "root.key"

[limits]
message-size-max = 262144
wal-slots = 96
checkpoint-interval = 64
"""


async def demo(
    *,
    seed: int = 7,
    cluster: bool = False,
    cleanup: bool = False,
    json: Json = False,
) -> int:
    """Watch a node take a clinic's day, be killed in the middle, and keep every promise. Takes under a minute.

    Example: `vdb demo`

    Example: `vdb demo --cluster`

    Parameters
    ----------
    seed
        Which day.
    cluster
        Three nodes; the primary is killed, and another takes over.
    cleanup
        Remove the files at the end.
    json
        Print one object with the results.
    """
    place = Path(tempfile.mkdtemp(prefix="vdb-demo-"))
    kind = ClusterDemo if cluster else Demo
    run = kind(place=place, story=Story(silent=json), events=plan_day(seed), cleanup=cleanup)
    try:
        await run.run()
    finally:
        if cleanup:
            shutil.rmtree(place, ignore_errors=True)
    if json:
        print_json(run.results)
    return EXIT_OK if run.results["ok"] else EXIT_FAILED


@define
class Demo:
    """One run. `results` is what `--json` prints."""

    place: Path
    story: Story
    events: list[PlannedEvent] = field(repr=False)
    cleanup: bool = False
    ledger: Ledger = field(factory=Ledger)
    results: dict[str, Any] = field(factory=dict)
    checks: dict[str, bool] = field(factory=dict)
    address: str = "127.0.0.1:0"
    node: NodeProcess | None = None

    @property
    def config(self) -> Path:
        return self.place / "demo.toml"

    @property
    def log(self) -> Path:
        return self.place / "node.log"

    async def run(self) -> None:
        """Raises NodeStopped when the node ends by itself, and StartError when it doesn't start."""
        self._prepare()
        try:
            async with trio.open_nursery() as watching:
                await self._start_node(watching)
                self.story.say(f"A node runs at {self.address}, region {REGION}, its log is {self.log}.")
                await self._day(watching)
                async with connect(self.address) as client:
                    await self._read_back(client)
                    await self._timeline(client)
                stopped = await self._node().stop()
        except BaseExceptionGroup as errors:
            raise first_cause(errors) from None
        finally:
            if self.node is not None:
                await self.node.end()
        self._search()
        self._check("stops_cleanly", stopped == 0, "SIGTERM stopped the node cleanly")
        self._summary()

    def _node(self) -> NodeProcess:
        assert self.node is not None
        return self.node

    async def _start_node(self, watching: trio.Nursery) -> None:
        self.node = await NodeProcess.start(self.config, self.address, self.log)
        self.address = self.node.address
        watching.start_soon(self.node.watch)

    def _check(self, name: str, holds: bool, text: str) -> None:
        self.checks[name] = self.story.check(holds, text)

    # -- the acts

    def _prepare(self) -> None:
        self.story.section("1. A node")
        key = self.place / "root.key"
        key.touch(mode=0o600)
        key.write_text(generate_root_key() + "\n")
        self.config.write_text(_CONFIG.format(config=self.config, region=REGION))
        self.story.say(f"Made a throw-away development key in {key}: never use it for real data.")

    async def _day(self, watching: trio.Nursery) -> None:
        await create_streams(self.address, REGION)
        total = len(self.events)
        self.story.section("2. A day at the clinic, and a kill -9 at half time")
        self.story.say(f"{total} events (patients, appointments, notes) from 8 concurrent clients, each write synced.")
        half = trio.Event()
        started = trio.current_time()
        with self.story.progress("publishing", total) as show:

            def on_progress(done: int) -> None:
                show(done)
                if done >= total // 2:
                    half.set()

            self.ledger.on_progress = on_progress
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish_day, self.address, self.events, self.ledger)
                await half.wait()
                before = len(self.ledger.acknowledged)
                await self._node().kill()
                killed = trio.current_time()
                await self._start_node(watching)
                recovery = trio.current_time() - killed
        seconds = trio.current_time() - started
        self.results |= {
            "events": total,
            "acknowledged": len(self.ledger.acknowledged),
            "acknowledged_before_kill": before,
            "seconds": round(seconds, 3),
            "events_per_second": round(total / seconds, 1),
            "events_per_second_without_restart": round(total / max(seconds - recovery, 0.001), 1),
            "recovery_seconds": round(recovery, 3),
        }
        self.story.say(f"SIGKILL after {before} acknowledged events; a new process served after {recovery:.2f} s.")
        self.story.say("The clients noticed nothing but a delay: they sent again what was in flight.")

    async def _read_back(self, client: Client) -> None:
        self.story.section("3. Everything acknowledged is there, once")
        found: ReadBack = compare(await read_all(client), self.ledger.acknowledged, self.events)
        self.results |= {
            "read_back": found.events,
            "lost": found.lost,
            "duplicates": found.duplicates,
            "strangers": found.strangers,
            "gaps": found.gaps,
        }
        self._check(
            "all_acknowledged", len(self.ledger.acknowledged) == len(self.events), "every event was acknowledged"
        )
        self._check("none_lost", found.lost == 0, f"{found.events} events read back, {found.lost} lost")
        self._check(
            "exactly_once", found.duplicates == found.strangers == 0, f"{found.duplicates} events are there twice"
        )
        self._check("no_gaps", found.gaps == 0, "offsets have no gaps")

    async def _timeline(self, client: Client) -> None:
        patient = self._patient()
        self.story.section(f"4. {patient.given_name} {patient.family_name}'s timeline, from the encrypted projection")
        caught_up = await client.wait_for_projection("patient_timeline", self.ledger.position_text(), timeout=30)
        rows: Rows = await client.rows(
            "patient_timeline", "patient_timeline", {"patient": patient.patient_id}, ["time_us"], 1000
        )
        entries = rows.dicts()
        self.story.table(
            ("time (UTC)", "kind", "summary", "status"),
            [
                (
                    "" if entry["time_us"] is None else time_text(int(entry["time_us"]))[:16].replace("T", " "),
                    str(entry["kind"]),
                    str(entry["summary"] or ""),
                    str(entry["status"] or ""),
                )
                for entry in entries
            ],
        )
        expected = {
            getattr(event.day.event, "note_id", None) or getattr(event.day.event, "appointment_id", None)
            for event in self.events
            if event.day.subject == patient.patient_id and event.day.stream != PATIENTS
        }
        shown = {entry["id"] for entry in entries if entry["kind"] != "patient"}
        self.results |= {"patient": patient.patient_id, "timeline_entries": len(entries)}
        self._check(
            "timeline",
            caught_up and shown == expected,
            f"it holds all {len(expected)} visits and notes",
        )

    def _search(self) -> None:
        patient = self._patient()
        self.story.section("5. Nothing readable on the disk")
        data = self.place / "data"
        note = self._note_of(patient)
        names = {
            "the patient's name": patient.family_name,
            "a note's text": note,
            **{f"the stream name '{s}'": s for s in _STREAMS},
        }
        words = {label: name.encode() for label, name in names.items()}
        ours = next(ack for ack in self.ledger.acknowledged if ack.event.day.subject == patient.patient_id)
        found: Search = search(data, {**words, _CONTROL: ours.event.day.event_id})
        leaks = {label: hits for label, hits in found.hits.items() if label in words and hits}
        control = self.place / "control"
        control.mkdir()
        (control / "plain.bin").write_bytes(b"\0" * 1000 + b"".join(words.values()) + b"\0" * 1000)
        seen = search(control, words)
        shutil.rmtree(control)
        size = found.bytes / 1e6
        self._check("no_plaintext", not leaks, f"not in {found.files} files, {size:.0f} MB: {', '.join(words)}")
        for label, hits in leaks.items():
            self.story.say(f"found {label} in {', '.join(str(path.relative_to(data)) for path in hits)}")
        self._check(
            "control",
            all(seen.hits.values()) and bool(found.hits[_CONTROL]),
            "the same search finds them in a plain file, and an event's id (in clear by design) in the data",
        )
        self.results |= {
            "files_searched": found.files,
            "bytes_searched": found.bytes,
            "leaks": {label: [str(path) for path in hits] for label, hits in leaks.items()},
        }

    def _summary(self) -> None:
        ok = all(self.checks.values())
        results = self.results
        results |= {"ok": ok, "checks": self.checks, "directory": str(self.place), "address": self.address}
        self.story.section("Summary")
        self.story.table(
            (),
            [
                ("events", f"{results['events']}, all synced to disk before they were acknowledged"),
                (
                    "rate",
                    f"{results['events_per_second_without_restart']:.0f} events/s"
                    f" ({results['events_per_second']:.0f} with the time of the restart)",
                ),
                ("recovery", f"{results['recovery_seconds']:.2f} s from the kill to the ready line of a new process"),
                ("files", str(self.place)),
                ("result", "every promise held" if ok else "A PROMISE WAS BROKEN: see above"),
            ],
        )
        if self.cleanup:
            self.story.say("The files are removed.")
            return
        self.story.section("Try next")
        vdb, where = command_name(), shlex.quote(str(self.config))
        self.story.say("Start the same node again:")
        self.story.command(f"{vdb} start --config {where}")
        self.story.say("and, in another terminal:")
        self.story.command(f"{vdb} status")
        self.story.command(f"{vdb} stream list")
        self.story.command(f"{vdb} read --stream {NOTES} --limit 3")
        timeline = f"--projection patient_timeline --where patient={results['patient']} --order-by time_us"
        self.story.command(f"{vdb} projection rows {timeline}")
        self.story.say("This removes everything that the demo made:")
        self.story.command(f"rm -r {shlex.quote(str(self.place))}")

    def _note_of(self, patient: PatientCreated) -> str:
        """The beginning of a note's text."""
        notes = (event.day.event for event in self.events if event.day.subject == patient.patient_id)
        return next(note.text[:24] for note in notes if isinstance(note, NoteCreated))

    def _patient(self) -> PatientCreated:
        """The patient with the most events among those whose family name is long enough to search for."""
        counts: dict[str, int] = {}
        for event in self.events:
            counts[event.day.subject] = counts.get(event.day.subject, 0) + 1
        candidates = [
            event.day.event
            for event in self.events
            if isinstance(event.day.event, PatientCreated) and len(event.day.event.family_name) >= NAME_LENGTH_MIN
        ]
        return max(candidates, key=lambda patient: counts[patient.patient_id])


_STREAMS = (PATIENTS, APPOINTMENTS, NOTES, PROVIDERS)
_CONTROL = "an event's id"
