"""`verify.py`, as it stands in an export: what it finds, and that no byte of an export can be changed unseen."""

from __future__ import annotations

import contextlib
import json
import runpy
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from vdb.cli.archiving import pack
from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import sign_note
from vdb.verifier.canonical import canonical_json

PLACES = 200
"""Where each file is changed."""

ALONE = """
import runpy, sys
sys.modules["vdb"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script on an interpreter for which there is no VerityDB."""


@pytest.fixture(scope="module")
def verifier(complete: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What verify.py defines: the file of an export, not the modules that it was made of."""
    file = tmp_path_factory.mktemp("verifier") / "verify.py"
    file.write_bytes(complete.files["verify.py"])
    return runpy.run_path(str(file))


def verify(verifier: dict[str, Any], files: dict[str, bytes], keys: Any = ((), (), None)) -> Any:
    log, exporter, trust = keys
    return verifier["Export"](list(files), files.__getitem__).verify(list(log), list(exporter), trust)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_it_runs_where_there_is_no_veritydb_and_says_what_holds(complete: Any, tmp_path: Path) -> None:
    folder = written(tmp_path / "export", complete.files)
    ran = run(str(folder / "verify.py"), "--key", str(complete.log_key), "--exporter-key", str(complete.exporter))
    assert (ran.returncode, ran.stderr) == (0, "")
    for line in (
        "OK  every file is as it was exported",
        "records      20: 19 opened, 0 withheld, 1 shredded",
        "complete     yes: all records 0 to 19 of the tree",
        "witness      witness.example at 2026-11-22T06:55:00+00:00",
    ):
        assert line in ran.stdout
    assert ran.stdout.count("note") == 1
    assert "that the keys of the 1 shredded records were destroyed is the exporter's word" in ran.stdout


def test_it_takes_an_archive_and_says_whose_word_it_is(selection: Any, tmp_path: Path) -> None:
    folder = written(tmp_path / "export", selection.files)
    pack(folder, tmp_path / "export.zip")
    ran = run(str(folder / "verify.py"), str(tmp_path / "export.zip"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "complete     no: this is a selection" in ran.stdout
    assert "2 withheld records is the exporter's word" in ran.stdout
    assert "compare it with the one you were given (--key)" in ran.stdout
    assert run(str(folder / "verify.py"), str(tmp_path / "none")).returncode == 2


@pytest.mark.parametrize("which", ["complete", "selection"])
def test_no_byte_of_any_file_can_be_changed_unseen(
    which: str, verifier: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    files: dict[str, bytes] = request.getfixturevalue(which).files
    verify(verifier, files)
    chance = Random(which)
    for name, data in files.items():
        places = range(len(data)) if len(data) <= PLACES else sorted(chance.sample(range(len(data)), PLACES))
        for place in places:
            changed = bytearray(data)
            changed[place] ^= 1 << chance.randrange(8)
            with pytest.raises(verifier["Fault"]) as failure:
                verify(verifier, {**files, name: bytes(changed)})
            assert failure.value.file == name, f"byte {place} of {name}: {failure.value}"
            assert len(failure.value.what) > 10


@pytest.mark.parametrize("which", ["complete", "selection"])
def test_no_file_can_be_missing_cut_or_put_there(
    which: str, verifier: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    files: dict[str, bytes] = request.getfixturevalue(which).files
    for name, data in files.items():
        for changed in ({one: files[one] for one in files if one != name}, {**files, name: data[:-1]}):
            with pytest.raises(verifier["Fault"]) as failure:
                verify(verifier, changed)
            assert failure.value.file == name
    with pytest.raises(verifier["Fault"], match=r"extra.txt: it isn't in the manifest"):
        verify(verifier, {**files, "extra.txt": b""})


def test_a_changed_byte_is_told_on_the_command_line(complete: Any, tmp_path: Path) -> None:
    files = {**complete.files, "audit.ndjson": complete.files["audit.ndjson"].replace(b"dr.lee", b"dr.low", 1)}
    ran = run(str(written(tmp_path, files) / "verify.py"))
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout == "FAILED  audit.ndjson: its SHA-256 isn't the one in the manifest: it was changed\n"


def test_a_file_whose_name_looks_like_a_cache_counts_as_well(
    complete: Any, verifier: dict[str, Any], tmp_path: Path
) -> None:
    written(tmp_path, {**complete.files, "__pycache__/verify.cpython-311.pyc": b""})
    assert verifier["main"]([str(tmp_path)]) == 0
    written(tmp_path, {"keys/more__pycache__.vkey": b""})
    assert verifier["main"]([str(tmp_path)]) == 1


def test_the_log_has_to_be_the_one_that_is_known(complete: Any, verifier: dict[str, Any]) -> None:
    other = verifier["key_from_vkey"](str(complete.exporter))
    with pytest.raises(verifier["Fault"], match=r"checkpoint: it isn't signed by a key that was given"):
        verify(verifier, complete.files, ([other], [], None))
    with pytest.raises(
        verifier["Fault"], match=r"manifest.note: signature 1, of 'officer.kim', is of a key that isn't"
    ):
        verify(verifier, complete.files, ([], [verifier["key_from_vkey"](str(complete.log_key))], None))


def test_witnesses_that_are_asked_for_have_to_have_signed(
    complete: Any, selection: Any, verifier: dict[str, Any]
) -> None:
    trust = verifier["read_policy"](complete.files["policy.txt"])
    verify(verifier, complete.files, ([], [], trust))
    with pytest.raises(verifier["Fault"], match=r"checkpoint: too few witnesses signed the checkpoint"):
        verify(verifier, selection.files, ([], [], trust))


# Who exports isn't believed, either: what it signed anew, with its own key, has to fit the tree.


JUNK: tuple[Any, ...] = (None, True, 7, "", "x", "-1", [], {}, [None], {"a": 1}, "9" * 18)


def test_whatever_an_exporter_writes_into_its_manifest_is_a_fault_or_fine(
    complete: Any, selection: Any, verifier: dict[str, Any]
) -> None:
    for files in (complete.files, selection.files):
        manifest = json.loads(files["manifest.json"])
        for key, value in manifest.items():
            parts = [(value, name) for name in value] if isinstance(value, dict) else []
            for holder, name in [(manifest, key), *parts]:
                kept = holder[name]
                for junk in JUNK:
                    holder[name] = junk
                    signed = resigned(files, canonical_json(manifest))
                    with contextlib.suppress(verifier["Fault"]):
                        verify(verifier, signed)
                holder[name] = kept


def resigned(files: dict[str, bytes], manifest: bytes) -> dict[str, bytes]:
    origin = json.loads(manifest)["origin"]
    text = f"veritydb-export/v1\n{origin}\n{b64encode(sha256(manifest).digest()).decode()}\n"
    with contextlib.suppress(EvidenceInvalid):
        note = str(sign_note(text, [("officer.kim", SigningKey(b"\2" * 32))])).encode()
        return {**files, "manifest.json": manifest, "manifest.note": note}
    return files


def test_an_exporter_can_not_invent_an_entry(
    exporting: Callable[..., Any], records: list[Any], verifier: dict[str, Any]
) -> None:
    number, raw = records[2].entries[0]
    invented = evolve(records[2], entries=((number, raw.replace(b"dr.lee", b"dr.low")), *records[2].entries[1:]))
    made = exporting([*records[:2], invented, *records[3:]], complete=True)
    with pytest.raises(verifier["Fault"], match=r"entries.ndjson: line 7 isn't entry 0 of record 2 as the sealed"):
        verify(verifier, made.files)


def test_an_exporter_can_not_leave_an_entry_out(
    exporting: Callable[..., Any], records: list[Any], verifier: dict[str, Any]
) -> None:
    short = evolve(records[2], entries=records[2].entries[:2])
    with pytest.raises(verifier["Fault"], match=r"entries.ndjson: line 9 isn't entry 2 of record 2"):
        verify(verifier, exporting([*records[:2], short, *records[3:]], complete=True).files)
    with pytest.raises(verifier["Fault"], match=r"manifest.json: it says that all leaves of its range are there"):
        verify(verifier, exporting([*records[:2], *records[3:]], complete=True).files)


def test_an_exporter_can_not_show_another_record(
    exporting: Callable[..., Any], records: list[Any], verifier: dict[str, Any]
) -> None:
    other = evolve(records[2], leaf_data=records[2].leaf_data[:-1] + b"\0")
    with pytest.raises(verifier["Fault"], match=r"leaves.bin: the leaves lead to another root than the checkpoint's"):
        verify(verifier, exporting([*records[:2], other, *records[3:]], complete=True).files)
    with pytest.raises(verifier["Fault"], match=r"leaves.bin: leaf 2 isn't the one that is in the tree"):
        verify(verifier, exporting([other], complete=False).files)
    wrong = evolve(records[2], record_key=records[3].record_key)
    with pytest.raises(verifier["Fault"], match=r"bodies.bin: record 2: the sealed body doesn't open with its key"):
        verify(verifier, exporting([wrong], complete=False).files)
    swapped = evolve(records[2], body=records[3].body, record_key=records[3].record_key)
    with pytest.raises(verifier["Fault"], match=r"record 2: the sealed body isn't the one whose hash is in the tree"):
        verify(verifier, exporting([swapped], complete=False).files)
