"""Who asks, through which door, and for what purpose: what every call of a node carries."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, field, frozen

from vdb.errors import InvalidArgument
from vdb.policy.decide import Principal
from vdb.policy.words import PURPOSES


class Credential(Enum):
    """How it was proven who asks. The values stand in the audit log."""

    MTLS = "mtls"
    OIDC = "oidc"
    DEVELOPMENT = "development"
    """Nothing was proven: a connection without TLS on loopback, or a token of development mode."""
    EMBEDDED = "embedded"
    """The program that has opened the data directory, with its keys."""
    NODE = "node"
    """The node itself, or another one of its cluster."""


@frozen(kw_only=True)
class Caller:
    principal: Principal
    credential: Credential
    purpose: str = ""
    """A code of `vdb.policy.words.PURPOSES`; empty: none was given."""
    reason: str = field(default="", repr=False)
    client: str = ""
    """Where the connection comes from."""
    on_behalf_of: str = ""
    """Whom the program that asks has named: nothing was proven of them, and they lend it no rights."""
    serial: str = ""
    """Of the connection's certificate, in hex."""
    expires: int | None = None
    """Microseconds UTC after which the credential counts no more."""

    @property
    def claims(self) -> str:
        """Whom the policy has to let the caller name; empty: nobody. What opened the data directory names whom it will,
        since it says itself who it is."""
        return "" if self.credential is Credential.EMBEDDED else self.on_behalf_of

    def speaking_for(self, person: str) -> Caller:
        """The same caller, for somebody else; for nobody else by their own name."""
        return evolve(self, on_behalf_of="" if person == self.principal.name else person)


ANYONE = Caller(principal=Principal(name="dev:anyone", development=True), credential=Credential.DEVELOPMENT)
"""Who connects on loopback without TLS, and has shown nothing."""
EMBEDDED = Caller(principal=Principal(name="embedded"), credential=Credential.EMBEDDED)
"""The program that has opened the data directory, if it doesn't say more."""


def embedded_caller(principal: str, purpose: str, reason: str) -> Caller:
    """Who asks by the word of the program that has opened the data directory. InvalidArgument."""
    if not principal or not principal.isprintable() or principal.startswith("dev:"):
        raise InvalidArgument(f"a principal is a name, and none of development; found {principal!r}")
    if purpose and purpose not in PURPOSES:
        raise InvalidArgument(f"{purpose!r} is no purpose of use: expected one of {', '.join(PURPOSES)}")
    return evolve(EMBEDDED, principal=Principal(name=principal), purpose=purpose, reason=reason)


PERSON_SIZE_MAX = 256


def check_person(person: str) -> str:
    """The name of somebody on whose behalf a program asks. InvalidArgument."""
    if len(person) > PERSON_SIZE_MAX or (person and not person.isprintable()):
        raise InvalidArgument(
            f"whom a program asks for is a printable name of at most {PERSON_SIZE_MAX} characters: nothing is answered "
            "until it is"
        )
    return person


NODE_ITSELF = Caller(principal=Principal(name="node"), credential=Credential.NODE)
