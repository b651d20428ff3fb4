"""What a consumer group's rows hold sealed: its name, filter and start, and the reasons of its dead letters.

Settings are JSON, sealed like the names of streams under the tenant's catalogue key: prefixes and types may well name
a patient. A name is found by its HMAC, in a domain of its own: that of a stream of the same name differs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from vdb.consumers import ConsumerSettings, OrderedBy
from vdb.crypto.keyring import Keyring
from vdb.crypto.record import decode_record, open_body
from vdb.kernel.command import KeyScope
from vdb.kernel.consumer_command import ConsumerTerms
from vdb.kernel.consumer_rules import SEALS
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.types import TenantId

_NAMES = "\0consumer\0"
_SETTINGS = "\0consumer settings\0"


def consumer_lookup(keyring: Keyring, tenant: TenantId, name: str) -> bytes | None:
    """The HMAC by which the group of this name is found: 32 bytes; None while the tenant has no key, and so none."""
    return keyring.stream_lookup(tenant, _NAMES + name)


def fingerprint(keyring: Keyring, tenant: TenantId, terms: ConsumerTerms, settings: str) -> bytes:
    """HMAC of all that a group is: 32 bytes. The tenant has a key."""
    return keyring.lookup(tenant, KeyScope.STREAM, f"{_SETTINGS}{terms}{settings}")


def terms_of(settings: ConsumerSettings) -> ConsumerTerms:
    """What the kernel needs of a group's settings."""
    return ConsumerTerms(
        ack_us=settings.ack_us,
        in_flight_max=settings.in_flight_max,
        member_in_flight_max=settings.member_in_flight_max,
        ordered_by=int(settings.ordered_by),
        max_deliver=settings.max_deliver,
        backoff_us=settings.backoff_us,
        backoff_max_us=settings.backoff_max_us,
    )


def settings_text(name: str, settings: ConsumerSettings) -> str:
    """What is sealed of a group."""
    wanted, start = settings.filter, settings.start
    values = [name, wanted.stream, list(wanted.prefixes), list(wanted.types), start.kind.value, start.value]
    return json.dumps(values, ensure_ascii=True, separators=(",", ":"))


def read_settings(text: str, terms: ConsumerTerms) -> tuple[str, ConsumerSettings]:
    """Name and settings of a group."""
    name, stream, prefixes, types, kind, value = json.loads(text)
    settings = ConsumerSettings(
        filter=EventFilter(stream=stream, prefixes=tuple(prefixes), types=tuple(types)),
        start=EventStart(StartKind(kind), value),
        ack_us=terms.ack_us,
        in_flight_max=terms.in_flight_max,
        member_in_flight_max=terms.member_in_flight_max,
        ordered_by=OrderedBy(terms.ordered_by),
        max_deliver=terms.max_deliver,
        backoff_us=terms.backoff_us,
        backoff_max_us=terms.backoff_max_us,
    )
    return name, settings


def deed_text(consumer: str, positions: Sequence[int], reason: str) -> bytes:
    """The body of the event that says what was done with dead letters."""
    values = {"consumer": consumer, "positions": list(positions), "reason": reason}
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()


def open_sealed(keyring: Keyring, sealed: bytes) -> str:
    """The text in a sealed record of a consumer group. RecordTampered, KeyUnavailable."""
    record = decode_record(sealed)
    assert record.header.stream == SEALS, "a record of a stream stands in a consumer group's row"
    return open_body(record.header_bytes, keyring.key(record.header.dek_id), record.body).decode()
