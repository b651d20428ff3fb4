"""`vdb identity`: whom a node takes the caller for, certificates of a cluster's own authority, development tokens."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vdb.cli.options import NODE, Json, NodeOptions
from vdb.cli.output import print_json, print_table, print_text, time_text
from vdb.crypto.certificates import SERIAL_SIZE, Issued, issue
from vdb.errors import ConfigError
from vdb.node.identity.development import make_development_token
from vdb.world.clock import RealClock
from vdb.world.entropy import RealEntropy

app = App(name="identity", help="Who asks: certificates of clients, tokens, and whom a node takes the caller for.")

_HOUR_US = 3_600_000_000


@app.command
async def whoami(*, options: NodeOptions = NODE) -> None:
    """Show whom the node takes this caller for.

    Example: `vdb identity whoami --tls-cert lee.pem --tls-key lee.key --tls-ca ca.pem`
    """
    async with options.client() as client:
        found = await client.whoami()
    expires = datetime.fromtimestamp(found.expires / 1e6, UTC).isoformat() if found.expires else ""
    if options.json:
        print_json(
            {
                "principal": found.principal,
                "credential": found.credential,
                "mfa": found.mfa,
                "development": found.development,
                "expires": expires or None,
            }
        )
        return
    print_text(f"{found.principal} (by {found.credential}{', a second factor shown' if found.mfa else ''})")
    if found.development:
        print_text("This is a credential of development: it reaches no PHI once a policy holds.")
    if expires:
        print_text(f"Valid until {expires}")


@app.command
async def sessions(*, options: NodeOptions = NODE) -> None:
    """List who is connected to each node: principal, credential, since when, from where, how long idle.

    Example: `vdb identity sessions`
    """
    async with options.client() as client:
        found = await client.cluster.sessions()
    if options.json:
        for one in found:
            print_json(
                {
                    "session": one.id,
                    "principal": one.principal,
                    "credential": one.credential,
                    "mfa": one.mfa,
                    "client": one.client,
                    "purpose": one.purpose,
                    "since": time_text(one.since),
                    "idle": round(one.idle_seconds, 3),
                    "expires": time_text(one.expires) if one.expires else None,
                }
            )
        return
    rows = [
        (one.id, one.principal, one.credential, time_text(one.since), one.client, f"{one.idle_seconds:.0f} s")
        for one in found
    ]
    print_table(("session", "principal", "credential", "since", "from", "idle"), rows)


@app.command
async def end(session: str, *, options: NodeOptions = NODE) -> None:
    """End a session: its connection is closed, and that is written down. Whoever was on it may come again; revoke the
    credential, if they mustn't.

    Example: `vdb identity end 127.0.0.1:7140/12`

    Parameters
    ----------
    session
        As `vdb identity sessions` names it.
    """
    async with options.client() as client:
        ended = await client.cluster.end_session(session)
    if options.json:
        print_json({"ended": ended})
    else:
        print_text(f"{session} is ended" if ended else f"there is no session {session} any more")


@app.command
def certificate(
    name: str,
    *,
    directory: Annotated[Path, Parameter(name="--dir")],
    uri: str = "",
    days: int = 365,
    json: Json = False,
) -> None:
    """Make a client's certificate and key with the authority that `vdb cluster init` has made.

    Writes NAME.pem and NAME.key beside the authority's own files.

    Example: `vdb identity certificate dr.lee --dir cluster --uri spiffe://clinic.example/dr.lee`

    Parameters
    ----------
    name
        The certificate's common name, and the files'.
    directory
        The cluster's directory, which `vdb cluster init` wrote to.
    uri
        A SPIFFE id; it is then the principal. Without one, the common name is.
    days
        How long it is valid.
    json
        Print JSON.
    """
    tls = directory / "tls"
    try:
        authority = Issued(certificate=(tls / "ca.pem").read_bytes(), key=(tls / "ca.key").read_bytes())
    except OSError as error:
        raise ConfigError(f"the authority {tls / 'ca.key'} can't be read: {error.strerror}") from None
    serial = bytes((0x40,)) + RealEntropy().random_bytes(SERIAL_SIZE - 1)
    made = issue(
        authority,
        name,
        hosts=[],
        now=datetime.now(UTC),
        valid_for=timedelta(days=days),
        serial=serial,
        uris=[uri] if uri else [],
    )
    _write(tls / f"{name}.key", made.key, 0o600)
    _write(tls / f"{name}.pem", made.certificate, 0o644)
    if json:
        print_json({"principal": uri or name, "certificate": str(tls / f"{name}.pem"), "serial": serial.hex()})
    else:
        print_text(f"{tls / name}.pem names {uri or name}; its serial number is {serial.hex()}")


@app.command
def secret(file: Path) -> None:
    """Make the secret by which development tokens are signed, as a file of its own.

    Example: `vdb identity secret dev.secret`
    """
    _write(file, base64.b64encode(RealEntropy().random_bytes(48)) + b"\n", 0o600)
    print_text(f"{file} is made: name it as development-secret in the [identity] table of the node's configuration")


@app.command
def token(name: str, *, secret_file: Path, hours: float = 8.0, mfa: bool = False) -> None:
    """Make a development token: it is taken on loopback without TLS alone, and reaches no PHI once a policy holds.

    Example: `vdb identity token lee --secret-file dev.secret`

    Parameters
    ----------
    name
        Its principal is dev:NAME.
    secret_file
        The node's development-secret.
    hours
        How long it is valid.
    mfa
        Whether it counts as one by which a second factor was shown.
    """
    try:
        found = secret_file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{secret_file} can't be read: {error.strerror}") from None
    expires = RealClock().wall_us() + int(hours * _HOUR_US)
    print_text(make_development_token(found, name, expires=expires, mfa=mfa))


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from None
