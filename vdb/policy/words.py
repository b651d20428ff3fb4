"""The words of policies. The values are what stands in files, and in the audit."""

from __future__ import annotations

from enum import Enum


class Action(Enum):
    """What is asked for. Each door of a node asks for one of these."""

    CREATE = "create"
    """A stream, a database, a consumer, a projection."""
    APPEND = "append"
    """Events; rows that SQL changes."""
    READ = "read"
    """Events of a stream, or of the log; following them."""
    QUERY = "query"
    """Rows of a projection, or of a database, as they are."""
    TIME_TRAVEL = "time-travel"
    """Rows as they were: AS OF, history, differences, restoring."""
    CONSUME = "consume"
    """Deliveries of a consumer, and what becomes of its dead letters."""
    SCHEMA = "schema"
    """Migrations, and other changes of tables."""
    EXPORT = "export"
    """Data that leave the database for good."""
    ERASE = "erase"
    AUDIT = "audit"
    """Reading who did what."""
    POLICY = "policy"
    """Changing policies, roles and bindings."""
    KEYS = "keys"
    OPERATE = "operate"
    """Members, backups, rebuilding projections."""
    STATUS = "status"
    """How the node is: no data of anybody's."""


class Effect(Enum):
    ALLOW = "allow"
    DENY = "deny"
    """Wins over every rule that allows."""
    BREAK_GLASS = "break-glass"
    """Allows while the principal has broken the glass (`vdb.policy.decide.Grant`)."""


class Mask(Enum):
    """What is shown of a column instead of its value."""

    HIDE = "hide"
    """Nothing: NULL."""
    REDACT = "redact"
    """`***`, so that one sees that there is something."""
    YEAR = "year"
    """The first four characters of a date."""
    LAST_FOUR = "last-four"
    """The last four characters, behind `***`."""


SQL_STREAMS = "$sql/"
"""What the names of the streams begin with that hold rows of SQL databases. To read one is to read all of it as it was
written, past filters, masks and rules about tables: a rule lets nobody who doesn't name such streams."""

EMERGENCY_PURPOSES = ("BTG", "ETREAT")
"""HL7 v3-ActReason: break the glass, emergency treatment."""

PURPOSES = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "break the glass",
    "CAREMGT": "care management",
    "COC": "coordination of care",
    "HPAYMT": "payment",
    "CLMATTCH": "claim attachment",
    "HOPERAT": "operations",
    "HSYSADMIN": "administration of the system",
    "HCOMPL": "compliance",
    "HACCRED": "accreditation",
    "HQUALIMP": "improvement of quality",
    "HTEST": "tests",
    "HRESCH": "research",
    "HMARKT": "marketing",
    "PATRQT": "the patient's request",
    "FAMRQT": "the family's request",
    "PUBHLTH": "public health",
    "THREAT": "a threat",
}
"""Purposes of use, codes of HL7 v3-ActReason, and what they mean."""
