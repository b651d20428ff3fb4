"""`vdb witness key|serve`: cosign heads of logs that only grew since they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trio
from cyclopts import App

from vdb.cli.options import tls_config
from vdb.cli.output import print_json, print_note, print_text
from vdb.errors import ConfigError
from vdb.evidence.cosignature import witness_key
from vdb.evidence.note import ED25519, VerifierKey
from vdb.evidence.witness import read_logs
from vdb.witness.door import serve_witness
from vdb.witness.holding import Witness
from vdb.world.clock import RealClock
from vdb.world.disk import RealDisk
from vdb.world.network import RealNetwork
from vdb.world.signing_keys import make_signing_key, read_signing_key

app = App(name="witness", help="Cosign heads of logs that only grew since they were last seen.")


@app.command
def key(*, out: Path, name: str, exporter: bool = False, json: bool = False) -> None:
    """Make a key, and print what others need to know of it.

    Example: `vdb witness key --out witness.key --name witness.clinic-b.example`

    Parameters
    ----------
    out
        The file for it, which mustn't be there yet. Only its owner may read it.
    name
        Whose key it is: no spaces.
    exporter
        A key to sign exports with (`vdb audit export --sign-key`), instead of one that cosigns.
    json
        Print one object.
    """
    made = make_signing_key(out)
    verifier = VerifierKey(name, made.public, ED25519) if exporter else witness_key(name, made)
    if json:
        print_json({"name": name, "key": str(verifier), "file": str(out)})
    else:
        print_text(str(verifier))
        print_note(f"the private key is in {out}; the line above is for those who verify")


def _known(logs: Path) -> Mapping[str, tuple[VerifierKey, ...]]:
    try:
        return read_logs(logs.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--logs: {logs} can't be read: {error}") from None


@app.command
async def serve(
    *,
    data_dir: Path,
    key_file: Path,
    name: str,
    logs: Path,
    address: str = "127.0.0.1:7150",
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_ca: Path | None = None,
    json: bool = False,
) -> None:
    """Be a witness: answer `POST /add-checkpoint` (C2SP tlog-witness). It needs no database.

    Run it on another machine, and in other hands, than the database: a second clinic, or the compliance officer.

    Example: `vdb witness serve --data-dir witness --key-file witness.key --name witness.example --logs logs.txt`

    Parameters
    ----------
    data_dir
        Where it keeps the last head of each log.
    key_file
        Its key (`vdb witness key`).
    name
        Its name.
    logs
        A file with a line `log KEY` for each log that it knows, as `vdb audit head` prints the key.
    address
        Where it listens. Off this machine it needs TLS.
    tls_cert
        Its certificate (PEM).
    tls_key
        The certificate's private key.
    tls_ca
        The authority of those who may ask.
    json
        Print the ready line as JSON.
    """
    known = _known(logs)
    disk = RealDisk(data_dir)
    witness = Witness(disk, RealClock(), name, read_signing_key(key_file), known)
    try:
        await witness.open()
        listener = await RealNetwork(tls_config(tls_cert, tls_key, tls_ca)).listen(address)
        try:
            if json:
                print_json({"ready": True, "address": listener.address, "key": str(witness.verifier)})
            else:
                print_text(f"witness {name} is ready at {listener.address} for {len(known)} logs")
                print_text(str(witness.verifier))
            await serve_witness(witness, listener)
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()
    finally:
        with trio.CancelScope(shield=True):
            await disk.close()
