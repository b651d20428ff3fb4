"""Who cosigns the heads of a node's trees, and how often."""

from __future__ import annotations

import re

from attrs import frozen

from vdb.errors import ConfigError, EvidenceInvalid
from vdb.evidence.note import COSIGNATURE_V1, VerifierKey
from vdb.witness.asking import WitnessAsked, WitnessPlace

_EVERY = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@frozen(kw_only=True)
class CosigningSettings:
    witnesses: tuple[WitnessAsked, ...] = ()
    every_s: float = 86_400.0


def parse_witness(text: str) -> WitnessAsked:
    """From 'URL KEY'. ConfigError."""
    url, _, key = text.partition(" ")
    try:
        verifier = VerifierKey.parse(key.strip())
    except EvidenceInvalid as error:
        raise ConfigError(f"a witness reads 'URL KEY', as `vdb witness key` prints the key: {error}") from None
    if verifier.type != COSIGNATURE_V1:
        raise ConfigError(f"the key of {verifier.name!r} isn't a witness's: expected one of `vdb witness key`")
    return WitnessAsked(WitnessPlace.parse(url), verifier)


def parse_every(text: str) -> float:
    """Seconds of a text such as 1d, 12h, 30m or 90s. ConfigError."""
    found = _EVERY.fullmatch(text)
    if not found:
        raise ConfigError(f"expected a time such as 1d, 12h, 30m or 90s; found {text!r}")
    return int(found[1]) * _SECONDS[found[2]]
