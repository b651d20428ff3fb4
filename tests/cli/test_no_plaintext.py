"""Nothing that was planted is found in any file of any node: names, record numbers and notes of a thousand patients.

A cluster of three nodes takes them as FHIR resources, as events of a stream and as rows of a SQL database; statements
fail over them, are asked for and go back in time; handlers fail with what they were given in their errors' words, also
in the rebuild that an erasure asks for; keys rotate meanwhile, a node is killed and comes back. Then every
file of the cluster is searched, logs and projections included, as the tool `strings` would: for the text as it is, in
base64, in UTF-16 and in hex.

VDB_FHIR_SAMPLE: a folder of FHIR resources (NDJSON) that is imported and searched for as well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field

import vdb
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_envelope

PATIENTS = 1000
ROWS = 150
GRAM, STEP = 5, 4
"""Bytes that are looked up, and how far apart: the shortest text has as many as both have, less one."""
_PRINTABLE = re.compile(rb"[\x20-\x7e]{8,}")
_NAMES = ("Aroha", "Bartholomew", "Celestine", "Dimitrios", "Eleonora", "Ferdinand", "Guinevere", "Hinewai")
_FAMILIES = ("Abernathy", "Blackwood", "Castellano", "Delacroix", "Eriksson", "Featherstone", "Grigoriev")
LIMITS = "message-size-max = 262144\nwal-slots = 96\ncheckpoint-interval = 64\n"
MODELS = """
from pathlib import Path
import vdb

VISITS = vdb.Table("visits", columns={"id": "text", "note": "text"}, key="id")
visits = vdb.Projection("visits", streams=["visits"], tables=[VISITS])

@visits.on("visited")
def visited(event, context):
    if (Path(__file__).parent / "broken").exists():
        raise ValueError(str(event)) from KeyError(event["note"])
    context.db.execute("INSERT OR REPLACE INTO visits VALUES (:id, :note)", event)
"""
LOGGED = ("--log-format", "json")


@define
class Planted:
    """What must be found nowhere."""

    texts: dict[str, None] = field(factory=dict)
    _grams: dict[bytes, list[tuple[str, bytes, int]]] = field(factory=dict)
    """By what stands at the first places of a form: every stretch of a text that holds the form has one of them."""

    def plant(self, text: str) -> str:
        assert len(text) >= 8, "shorter ones occur by chance"
        assert text.isascii()
        if text not in self.texts:
            self.texts[text] = None
            for form in forms(text):
                assert len(form) >= GRAM + STEP - 1, "no gram of it need be looked up"
                for place in range(STEP):
                    gram = form[place : place + GRAM]
                    self._grams.setdefault(gram, []).append((text, form, place))
        return text

    def found_in(self, content: bytes) -> list[str]:
        """Those that are in these bytes in some form."""
        readable = b"\n".join(_PRINTABLE.findall(content) + _PRINTABLE.findall(content.replace(b"\0", b"")))
        found: dict[str, None] = {}
        for at in range(0, len(readable) - GRAM + 1, STEP):
            for text, form, place in self._grams.get(readable[at : at + GRAM], ()):
                if at >= place and readable.startswith(form, at - place):
                    found[text] = None
        return list(found)


def forms(text: str) -> Iterable[bytes]:
    """A text as it could stand in a file. A base64 text holds it from one of three places on."""
    data = text.encode()
    yield data
    yield data.hex().encode()
    for start in range(3):
        encoded = b64encode(bytes(start) + data).rstrip(b"=")
        yield encoded[-(-start * 4 // 3) + (start > 0) : -1]


def patient(number: int, planted: Planted) -> tuple[str, str, str]:
    """Name, record number and note of a patient."""
    code = sha256(f"patient {number}".encode()).hexdigest()
    given, family = _NAMES[number % len(_NAMES)], _FAMILIES[number % len(_FAMILIES)]
    name = planted.plant(f"{given} {family}-{code[:6]}")
    record = planted.plant(f"MRN-{int(code[:12], 16) % 10**10:010d}")
    note = planted.plant(f"complains of {code[6:12]} since the visit of {1950 + number % 70}, advised rest and fluids")
    return name, record, note


def write_fhir(folder: Path, planted: Planted) -> None:
    folder.mkdir()
    with (
        (folder / "Patient.000.ndjson").open("w") as patients,
        (folder / "DocumentReference.000.ndjson").open("w") as documents,
    ):
        for number in range(PATIENTS):
            name, record, note = patient(number, planted)
            one = {
                "resourceType": "Patient",
                "id": f"p-{number}",
                "identifier": [{"system": "urn:clinic:mrn", "value": record}],
                "name": [{"text": name, "family": name.split()[1]}],
            }
            print(json.dumps(one), file=patients)
            document = {
                "resourceType": "DocumentReference",
                "id": f"d-{number}",
                "status": "current",
                "subject": {"reference": f"Patient/p-{number}"},
                "description": note,
                "content": [{"attachment": {"contentType": "text/plain", "data": b64encode(note.encode()).decode()}}],
            }
            print(json.dumps(document), file=documents)


def plant_sample(folder: Path, planted: Planted) -> None:
    """Names and record numbers of the patients in a folder, and lines of their notes."""
    for path in folder.glob("Patient*.ndjson"):
        for line in path.read_text().splitlines():
            found = json.loads(line)
            for name in found.get("name", ()):
                for text in (name.get("family", ""), *name.get("given", ())):
                    if len(text) >= 8 and text.isascii():
                        planted.plant(text)
            for identifier in found.get("identifier", ()):
                if len(identifier.get("value", "")) >= 8:
                    planted.plant(identifier["value"])
    for path in folder.glob("DocumentReference*.ndjson"):
        for line in path.read_text().splitlines()[:300]:
            for content in json.loads(line).get("content", ()):
                text = b64decode(content["attachment"].get("data", "")).decode("utf-8", "replace")
                lines = [one.strip() for one in text.splitlines() if len(one.strip()) > 60 and one.isascii()]
                for one in lines[:3]:
                    planted.plant(one)


def test_nothing_that_was_planted_is_in_any_file(cluster: Any, tmp_path: Path) -> None:
    planted, export = Planted(), tmp_path / "export"
    write_fhir(export, planted)
    cluster.limit(0, 1, 2, limits=LIMITS)
    give_projection(cluster)
    cluster.start(0, 1, 2, more=LOGGED)
    cluster.vdb("import", "fhir", str(export))
    sample = os.environ.get("VDB_FHIR_SAMPLE")
    if sample:
        plant_sample(Path(sample), planted)
        cluster.vdb("import", "fhir", sample)
    use_sql(cluster, tmp_path, planted)
    use_events(cluster, planted)
    fail_to_rebuild(cluster, planted)
    for _ in range(2):
        cluster.vdb("key", "rotate")
    cluster.nodes[0].end(signal.SIGKILL)
    cluster.start(0, more=LOGGED)
    cluster.vdb("status")
    for node in cluster.nodes.values():
        assert node.end() == 0

    assert len(planted.texts) >= 3 * PATIENTS
    source = b"".join(path.read_bytes() for path in export.iterdir())
    assert len(planted.found_in(source)) == 3 * PATIENTS, "the search finds what is there"
    searched, size = 0, 0
    for path in sorted(cluster.place.rglob("*")):
        if path.is_file() and path.name != "LOCK":
            content = path.read_bytes()
            searched, size = searched + 1, size + len(content)
            found = planted.found_in(content)
            assert not found, f"{path.relative_to(cluster.place)} holds {len(found)}, such as {found[:3]}"
    assert searched > 40
    assert size > 20_000_000
    sys.stdout.write(f"{len(planted.texts)} texts are in none of {searched} files, {size / 1e6:.0f} MB\n")


def use_sql(cluster: Any, tmp_path: Path, planted: Planted) -> None:
    """Rows, and statements that hold names: some fail, some ask for what was."""
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "0001_patients.sql").write_text(
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, mrn TEXT UNIQUE, note TEXT);\n"
        "CREATE INDEX by_name ON patients (name);\n"
    )
    cluster.vdb("migrate", "apply", "--db", "clinic", "--dir", str(migrations))
    values = [patient(10_000 + number, planted) for number in range(ROWS)]
    rows = ", ".join(f"({number}, '{n}', '{r}', '{t}')" for number, (n, r, t) in enumerate(values))
    cluster.vdb("sql", "--database", "clinic", f"INSERT INTO patients VALUES {rows}")
    name, record, note = values[0]
    for statement in (
        f"INSERT INTO patients VALUES (9999, '{name}', '{record}', '{note}')",
        f"SELECT no_such_column FROM patients WHERE name = '{name}'",
        f"SELECT * FROM patients WHERE name = '{name}' AND mrn = '{record}' ORDER BY note LIMIT 3",
        f"UPDATE patients SET note = '{note} again' WHERE name = '{name}'",
        f"SELECT * FROM patients WHERE note LIKE '{note}%'",
        f"DELETE FROM patients WHERE name = '{values[1][0]}'",
        f"SELEC '{name}'",
    ):
        cluster.vdb("sql", "--database", "clinic", statement, "--actor", record, "--purpose", note, fine=False)


def use_events(cluster: Any, planted: Planted) -> None:
    """Events whose payloads, subjects and ids are planted; requests about what isn't there."""
    cluster.vdb("stream", "create", "--stream", "letters")
    for number in range(6):
        name, record, note = patient(20_000 + number, planted)
        cluster.vdb("publish", "--stream", "letters", "--payload", note, "--subject", record)
        cluster.vdb("read", "--stream", name, fine=False)
    cluster.vdb("consumer", "create", "--consumer", "post", "--stream", "letters")
    cluster.vdb("consume", "--consumer", "post", "--limit", "5", "--wait", "5")


def give_projection(cluster: Any) -> None:
    """A projection whose handler fails while there is a file."""
    (cluster.place / "models_that_fail.py").write_text(MODELS)
    for number in range(3):
        file = cluster.place / f"n{number}.toml"
        file.write_text('projections = ["models_that_fail:visits"]\n' + file.read_text())


def fail_to_rebuild(cluster: Any, planted: Planted) -> None:
    """An erasure waits for a rebuild that fails, and whose error holds all that was planted."""
    broken, log = cluster.place / "broken", cluster.place / "node.log"
    with vdb.connect_sync(cluster.address(0, 1, 2), tls=cluster.tls) as client:
        client.create_stream("visits", "phi", "ap-southeast-2")
        subjects = []
        for number in range(5):
            name, record, note = patient(30_000 + number, planted)
            subjects.append(record)
            body = json.dumps({"id": record, "note": f"{name}: {note}"}).encode()
            envelope = EventEnvelope(
                event_id=bytes([number]) * 16, type="visited", version=1, time=0, subject=record, body=body
            )
            published = client.publish("visits", encode_envelope(envelope), subject=record, schema_id=ENVELOPE_SCHEMA)
        assert client.wait_for("visits", published.position)
        broken.touch()
        cluster.vdb("erase", "--subject", subjects[0], "--basis", "GDPR 17(1)(b)", "--yes", fine=False)
        for _ in range(600):
            if "erasure.held_up" in log.read_text():
                break
            time.sleep(0.1)
        assert "erasure.held_up" in log.read_text()
        client.publish("visits", encode_envelope(envelope), subject=subjects[1], schema_id=ENVELOPE_SCHEMA)
        time.sleep(1)
    broken.unlink()
