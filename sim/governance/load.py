"""What all people of this workload share: what they did and were told, and how much is left to do.

Each is a client of its own whose certificate names it. A policy lets all other clients of the run do as they like: what
is looked at here is what becomes of policies, grants and consents themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

import trio
from attrs import define, field, frozen

from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from vdb.client.client import Client
from vdb.errors import DefiniteError, VerityError
from vdb.policy.words import Action
from vdb.ports import Entropy

FIRST = 300
"""The number of the first client of this workload."""
OFFICERS, CLINICIANS = 2, 3
SUBJECTS = tuple(f"subject-{number}" for number in range(4))
PURPOSES = ("TREAT", "HRESCH", "HQUALIMP", "PUBHLTH")
RETRY_SECONDS = 60.0
SPIFFE = "spiffe://sim.example/"

_POLICY = """name = "sim-{number}"
[roles]
worker = []
officer = []
clinician = []
[[binding]]
principals = ["{spiffe}*"]
roles = ["worker"]
[[binding]]
principals = [{officers}]
roles = ["officer"]
[[binding]]
principals = [{clinicians}]
roles = ["clinician"]
[[rule]]
name = "glass"
effect = "break-glass"
roles = ["clinician"]
actions = ["query"]
streams = ["charts"]
tables = ["charts"]
[[rule]]
name = "by-consent"
roles = ["clinician"]
actions = ["query"]
streams = ["charts"]
tables = ["charts"]
purposes = ["HRESCH"]
consent = true
[[rule]]
name = "ward-a"
roles = ["clinician"]
actions = ["query"]
streams = ["charts"]
tables = ["charts"]
rows = "ward = 'A'"
masks = {{ note = "hide" }}
[[rule]]
name = "inbox"
roles = ["clinician"]
actions = ["append"]
streams = ["charts"]
tables = ["inbox"]
rows = "ward = 'A'"
[[rule]]
name = "work"
roles = ["worker"]
actions = [{actions}]
[[rule]]
name = "read-back"
roles = ["worker"]
actions = ["read"]
streams = ["$sql/*"]
[[rule]]
name = "govern"
roles = ["officer"]
actions = ["policy"]
[break-glass]
roles = ["clinician"]
reviewers = ["officer", "clinician"]
minutes = {minutes}
"""


def principal(number: int) -> str:
    """Whom the certificate of this client names."""
    return f"{SPIFFE}c{number}"


def policy_text(number: int, minutes: int) -> str:
    """A policy like no other one of the run."""
    officers = ", ".join(f'"{principal(FIRST + each)}"' for each in range(OFFICERS))
    clinicians = ", ".join(f'"{principal(FIRST + OFFICERS + each)}"' for each in range(CLINICIANS))
    actions = ", ".join(f'"{action.value}"' for action in Action if action is not Action.POLICY)
    return _POLICY.format(
        number=number, spiffe=SPIFFE, officers=officers, clinicians=clinicians, minutes=minutes, actions=actions
    )


class Fate(Enum):
    """What a client knows of a deed in the end."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@define(eq=False, kw_only=True)
class Deed:
    """What somebody asked for, and was told. Moments are of the run's clock, in nanoseconds."""

    kind: str
    who: str
    asked_ns: int
    group: str = ""
    tenant: int = 0
    text: str = field(default="", repr=False)
    subject: str = ""
    purposes: tuple[str, ...] = ()
    until: int = 0
    grant: int = 0
    serial: int = 0
    seen: tuple[tuple[int, bool], ...] = ()
    """Of a list of grants: numbers, and whether they were reviewed."""
    unreviewed: bool = False
    told_ns: int = 1 << 62
    fate: Fate = Fate.PENDING


@frozen
class Opened:
    """A grant that somebody was told of."""

    tenant: int
    group: str
    grant: int
    by: str


@define(eq=False, kw_only=True)
class GovernanceLoad:
    options: Options
    trace: Trace
    now_ns: Callable[[], int]
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    deeds: list[Deed] = field(factory=list)
    grants: list[Opened] = field(factory=list)
    """Of which somebody was told."""
    left: int = field(init=False)
    policies: int = 0
    made: trio.Event = field(factory=trio.Event)
    """Set when there is a policy."""

    def __attrs_post_init__(self) -> None:
        self.left = self.options.governance_deeds if self.options.governance else 0

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / max(1, self.options.governance_deeds) if self.options.governance else 1.0

    @property
    def answered(self) -> int:
        return sum(deed.fate is Fate.DONE for deed in self.deeds)

    def client(self, number: int, tenant: int) -> Client:
        return Client(
            self.connectors(number), entropy=self.entropy(number), tenant=tenant, retry_for=RETRY_SECONDS,
            connect_for=3600.0, learn=lambda address: self.learn(number, address),
        )  # fmt: skip

    async def recorded(self, deed: Deed, act: Callable[[], Awaitable[None]]) -> bool:
        """Do a deed and write down how it ended; whether it was done. `act` fills in what it was told."""
        self.deeds.append(deed)
        refusal = ""
        deed.fate = Fate.UNKNOWN
        try:
            await act()
            deed.fate = Fate.DONE
        except DefiniteError as error:
            deed.fate, refusal = Fate.REFUSED, f"{type(error).__name__}: {error}"
        except VerityError as error:
            refusal = f"{type(error).__name__}: {error}"
        finally:
            deed.told_ns = self.now_ns()
            self.trace.add(deed.who, deed.kind, deed.fate.value, refusal)
            self.tell()
        return deed.fate is Fate.DONE
