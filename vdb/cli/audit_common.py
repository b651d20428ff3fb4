"""What the commands for reports, accountings and exports share: times, witnesses, settings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec
from attrs import evolve

from vdb.cli.config_file import read_config_file
from vdb.cli.options import TenantOptions, tls_config
from vdb.client.evidence_line import TreeHead
from vdb.errors import ConfigError
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import COSIGNATURE_V1, Note, VerifierKey
from vdb.verifier.fhir import instant_of
from vdb.witness.asking import WitnessAsked, WitnessPlace, ask_witnesses
from vdb.world.network import RealNetwork


def now_micros() -> int:
    return time.time_ns() // 1000


def micros_of(text: str, option: str) -> int:
    """Microseconds UTC of an ISO time or day; without a zone it is UTC. ConfigError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option}: expected a time such as 2026-03-01 or 2026-03-01T12:00:00Z; found {text!r}"
        ) from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(aware.timestamp()) * 1_000_000


def witness_keys(texts: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Keys of witnesses from their vkeys. ConfigError for a key of another kind."""
    keys = tuple(map(VerifierKey.parse, texts))
    for key in keys:
        if key.type != COSIGNATURE_V1:
            raise ConfigError(f"--witness-key: the key of {key.name!r} isn't a witness's; see `vdb witness key`")
    return keys


class Heads(Protocol):
    """Whose head is to be cosigned."""

    async def head(self) -> TreeHead: ...

    async def consistency(self, size: int) -> tuple[TreeHead, tuple[bytes, ...]]: ...


async def cosigned_head(
    audit: Heads, urls: Sequence[str], keys: Sequence[VerifierKey], options: TenantOptions
) -> tuple[TreeHead, tuple[str, ...]]:
    """The signed head with the cosignature of each witness, and what is told of each. Without witnesses: the head."""
    if len(urls) != len(keys):
        raise ConfigError("--witness and --witness-key belong together: one key for each address, in the same order")
    if not urls:
        return await audit.head(), ()
    heads: dict[str, TreeHead] = {}

    async def consistency(size: int) -> tuple[Note, tuple[bytes, ...]]:
        head, path = await audit.consistency(size)
        heads[head.note.text] = head
        return head.note, path

    network = RealNetwork(tls_config(options.tls_cert, options.tls_key, options.tls_ca))
    asked = [WitnessAsked(WitnessPlace.parse(url), key) for url, key in zip(urls, keys, strict=True)]
    note = await ask_witnesses(network, asked, consistency)
    times = [(key.name, cosigned_at(note, key)) for key in keys]
    told = tuple(f"{name} at {instant_of(seconds * 1_000_000)}" for name, seconds in times if seconds is not None)
    return evolve(heads[note.text], note=note), told


def read_settings(config: Path | None) -> tuple[Mapping[str, str] | None, str]:
    """(What a node with this configuration does about identity, as `identity.NAME`, SHA-256 of the file); or nothing.

    What the file leaves out stands there with its default.
    """
    if config is None:
        return None, ""
    section = msgspec.to_builtins(read_config_file(config).identity)
    found = {name: str(value).lower() for name, value in section.items() if isinstance(value, bool | int | float)}
    return {f"identity.{name}": value for name, value in found.items()}, sha256(config.read_bytes()).hexdigest()
