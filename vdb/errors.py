"""Every error that VerityDB raises, in one tree.

    VerityError
    ├── DefiniteError               nothing happened and nothing will: safe to give up or to send again
    │   ├── InvalidArgument         the call itself is wrong
    │   │   ├── TooLarge
    │   │   └── InvalidEvent, UnknownEventType, HandlerRefused
    │   ├── Refused                 the log or the gate said no; `code` is a `RefusalCode` value
    │   │   ├── UnknownTenant, UnknownStream, StreamExists, WrongExpectedOffset
    │   │   ├── CrossGroup, PlacementViolation, NotAvailable, ModeViolation
    │   │   ├── NotAuthenticated, AccessDenied    who asks isn't known, or may not
    │   │   ├── PolicyChanged, SubjectErased, OnHold, NotDeidentified
    │   │   ├── SessionExpired, SessionGap, RequestTooOld
    │   │   ├── EventIdTaken        some of an append's event ids are in the stream already, the append itself isn't
    │   │   └── ConfigurationChanged, LearnerBehind
    │   ├── AuditUnavailable        what must be written down can't be, so it isn't answered
    │   ├── Overloaded              queues are full; try again later
    │   ├── NotPrimary              another node takes writes; `primary` says where, if that is known
    │   ├── NotReady                this node can't serve the group now; try again later, or another node
    │   ├── Unreachable             no node answers at the address; nothing was sent
    │   ├── UnknownProjection
    │   ├── UnknownConsumer, ConsumerExists, DeliveryLate
    │   ├── SqlRefused              a statement that SQL mode doesn't take; the message says why
    │   ├── SqlFailed               what SQLite said of a statement, on another machine
    │   ├── DatabaseLocked          another transaction holds the database's one writer
    │   ├── TransactionEnded        the transaction was rolled back meanwhile: nothing of it remains
    │   ├── UnknownDatabase
    │   └── MigrationError          a migration changed, is missing, or failed; names it
    ├── IndefiniteError             it may or may not have happened; only a retry in the same session tells
    │   └── ConnectionLost, Timeout, RemoteError, PrimaryLost
    ├── StartError                  a node can't start; the message says what to do
    │   ├── KeysMissing, WrongKey, KeyFilePermissions
    │   ├── DataDirectoryInUse, ForeignData, NewerFormat, OlderFormat, AddressInUse, ConfigError, NotLoopback
    │   ├── RefusedByPeer           another node of the cluster won't talk to this one
    │   │   └── ForgottenDisk
    │   └── DamagedData             what is on disk can't be trusted and can't be repaired here
    ├── StorageError                fatal for the node: it stops and recovers
    │   ├── DiskFull                writes are refused, reads go on
    │   ├── DiskFailed              EIO, a failed fsync
    │   ├── DatabaseDamaged         a projection's file isn't what was written: it is built again from the log
    │   ├── TooManyOpenFiles        the process, or the system, has no descriptor left
    │   └── FileMissing
    ├── CryptoError                 RecordTampered, KeyUnavailable, KeyDestroyed
    ├── EvidenceInvalid             a proof, a signature or a signed file that doesn't hold; says what and where
    ├── WireError                   bytes that don't follow the protocol
    │   └── ProtocolError           of the protocol between nodes
    ├── NodeStopped                 this node has ended; its reason is in the message
    ├── ForkedHandle                a handle used in a forked child process
    └── ProjectionFailed            a handler failed; names projection, event and cause

A broken invariant isn't in this tree: it is an AssertionError, and the node stops.
Messages say what was expected and what was found, and never hold a payload, a key or a subject.
"""

from __future__ import annotations

from enum import Enum


class RefusalCode(Enum):
    """Why a request was refused. The values travel over RPC as the first word of an exception's reason."""

    UNKNOWN_TENANT = "UNKNOWN_TENANT"
    UNKNOWN_STREAM = "UNKNOWN_STREAM"
    STREAM_EXISTS = "STREAM_EXISTS"
    WRONG_EXPECTED_OFFSET = "WRONG_EXPECTED_OFFSET"
    CROSS_GROUP = "CROSS_GROUP"
    PLACEMENT_VIOLATION = "PLACEMENT_VIOLATION"
    NOT_AVAILABLE = "NOT_AVAILABLE"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    SESSION_GAP = "SESSION_GAP"
    REQUEST_TOO_OLD = "REQUEST_TOO_OLD"
    CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
    LEARNER_BEHIND = "LEARNER_BEHIND"
    TOO_LARGE = "TOO_LARGE"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    OVERLOADED = "OVERLOADED"
    DISK_FULL = "DISK_FULL"
    UNKNOWN_PROJECTION = "UNKNOWN_PROJECTION"
    UNKNOWN_CONSUMER = "UNKNOWN_CONSUMER"
    CONSUMER_EXISTS = "CONSUMER_EXISTS"
    EVENT_ID_TAKEN = "EVENT_ID_TAKEN"
    MODE_VIOLATION = "MODE_VIOLATION"
    SQL_REFUSED = "SQL_REFUSED"
    SQL_FAILED = "SQL_FAILED"
    DATABASE_LOCKED = "DATABASE_LOCKED"
    TRANSACTION_ENDED = "TRANSACTION_ENDED"
    UNKNOWN_DATABASE = "UNKNOWN_DATABASE"
    MIGRATION_ERROR = "MIGRATION_ERROR"
    NOT_AUTHENTICATED = "NOT_AUTHENTICATED"
    ACCESS_DENIED = "ACCESS_DENIED"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    POLICY_CHANGED = "POLICY_CHANGED"
    SUBJECT_ERASED = "SUBJECT_ERASED"
    ON_HOLD = "ON_HOLD"
    NOT_DEIDENTIFIED = "NOT_DEIDENTIFIED"
    NOT_PRIMARY = "NOT_PRIMARY"
    NOT_READY = "NOT_READY"
    DELIVERY_LATE = "DELIVERY_LATE"
    UNREACHABLE = "UNREACHABLE"
    """This one and the one before are said by clients, never by a node."""


class VerityError(Exception):
    """Root of the tree."""


class DefiniteError(VerityError):
    """Nothing happened and nothing will."""

    code: RefusalCode = RefusalCode.INVALID_ARGUMENT


class InvalidArgument(DefiniteError, ValueError):
    code = RefusalCode.INVALID_ARGUMENT


class TooLarge(InvalidArgument):
    code = RefusalCode.TOO_LARGE


class InvalidEvent(InvalidArgument):
    """A typed event doesn't fit its registered class; names type and path, never the value."""


class UnknownEventType(InvalidArgument):
    """No class is registered for an event's type and version."""


class HandlerRefused(InvalidArgument):
    """A projection's handler asked its database for what would make the rows depend on more than the log."""


class Refused(DefiniteError):
    """A business refusal, as a client sees it. Inside the kernel it is a value (`kernel.reply.Refusal`)."""


class UnknownTenant(Refused):
    code = RefusalCode.UNKNOWN_TENANT


class UnknownStream(Refused):
    code = RefusalCode.UNKNOWN_STREAM


class StreamExists(Refused):
    code = RefusalCode.STREAM_EXISTS


class WrongExpectedOffset(Refused):
    code = RefusalCode.WRONG_EXPECTED_OFFSET


class CrossGroup(Refused):
    code = RefusalCode.CROSS_GROUP


class PlacementViolation(Refused, ValueError):
    code = RefusalCode.PLACEMENT_VIOLATION


class NotAvailable(Refused):
    code = RefusalCode.NOT_AVAILABLE


class ModeViolation(Refused):
    """A database has one mode: SQL, or events and handlers."""

    code = RefusalCode.MODE_VIOLATION


class NotAuthenticated(Refused):
    """Nobody has shown who asks, or what was shown isn't valid (any more)."""

    code = RefusalCode.NOT_AUTHENTICATED


class AccessDenied(Refused):
    """The policy doesn't allow it. The message names rule and version, and is in the audit log."""

    code = RefusalCode.ACCESS_DENIED


class AuditUnavailable(DefiniteError):
    """What must be in the audit log before it is answered can't be recorded, so it isn't answered."""

    code = RefusalCode.AUDIT_UNAVAILABLE


class PolicyChanged(Refused):
    """Somebody else has applied a policy meanwhile."""

    code = RefusalCode.POLICY_CHANGED


class SubjectErased(Refused):
    """The subject's data were erased: nothing is written about it any more."""

    code = RefusalCode.SUBJECT_ERASED


class OnHold(Refused):
    """A legal hold, or a retention that isn't over, stands against it."""

    code = RefusalCode.ON_HOLD


class NotDeidentified(Refused, ValueError):
    """What is to be stored as de-identified may identify somebody."""

    code = RefusalCode.NOT_DEIDENTIFIED


class SessionExpired(Refused):
    code = RefusalCode.SESSION_EXPIRED


class SessionGap(Refused):
    code = RefusalCode.SESSION_GAP


class RequestTooOld(Refused):
    code = RefusalCode.REQUEST_TOO_OLD


class ConfigurationChanged(Refused):
    """The group's members changed since the change that is asked for was decided upon."""

    code = RefusalCode.CONFIGURATION_CHANGED


class LearnerBehind(Refused):
    """The learner that shall vote hasn't caught up yet: ask again later."""

    code = RefusalCode.LEARNER_BEHIND


class Overloaded(DefiniteError):
    code = RefusalCode.OVERLOADED


class NotPrimary(DefiniteError):
    """Another node is the group's primary. Nothing was proposed here."""

    code = RefusalCode.NOT_PRIMARY

    def __init__(self, message: str, primary: str = "") -> None:
        super().__init__(message)
        self.primary = primary
        """The primary's address for clients; empty when it isn't known."""


class NotReady(DefiniteError):
    """The node has the group, and can't serve it now."""

    code = RefusalCode.NOT_READY


class Unreachable(DefiniteError):
    """No node answers, and nothing was sent."""

    code = RefusalCode.UNREACHABLE


class UnknownProjection(DefiniteError):
    code = RefusalCode.UNKNOWN_PROJECTION


class UnknownConsumer(DefiniteError):
    """The tenant has no consumer group of this name in that group."""

    code = RefusalCode.UNKNOWN_CONSUMER


class ConsumerExists(DefiniteError):
    """There is a consumer group of this name with other settings."""

    code = RefusalCode.CONSUMER_EXISTS


class DeliveryLate(DefiniteError):
    """A delivery was settled that isn't the member's any more: it may have been delivered again."""

    code = RefusalCode.DELIVERY_LATE


class EventIdTaken(Refused):
    """Some of an append's event ids are in its stream already, and the append isn't the one that brought them."""

    code = RefusalCode.EVENT_ID_TAKEN


class SqlRefused(DefiniteError):
    """A statement that SQL mode doesn't take. Says why, and what to do instead."""

    code = RefusalCode.SQL_REFUSED


class SqlFailed(DefiniteError):
    """What SQLite said of a statement, as it crosses to another machine: `kind` is the DB-API's class of error."""

    code = RefusalCode.SQL_FAILED

    def __init__(
        self, message: str, kind: str = "OperationalError", sqlite_errorcode: int = 1, *, in_transaction: bool = False
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.sqlite_errorcode = sqlite_errorcode
        self.in_transaction = in_transaction
        """Whether a transaction is still open after it."""


class DatabaseLocked(DefiniteError):
    """Another transaction holds the database's one writer."""

    code = RefusalCode.DATABASE_LOCKED


class TransactionEnded(DefiniteError):
    """The transaction was rolled back meanwhile (it was idle for too long, or the node lost its group)."""

    code = RefusalCode.TRANSACTION_ENDED


class UnknownDatabase(DefiniteError):
    code = RefusalCode.UNKNOWN_DATABASE


class MigrationError(DefiniteError):
    """A migration changed after it was applied, is missing, or failed. Names it."""

    code = RefusalCode.MIGRATION_ERROR


class IndefiniteError(VerityError):
    """The request may or may not have been executed."""


class ConnectionLost(IndefiniteError):
    pass


class Timeout(IndefiniteError):
    pass


class PrimaryLost(IndefiniteError):
    """The node ceased to be primary while the request was on its way into the log; the next primary knows its fate."""


class RemoteError(IndefiniteError):
    """A node failed a call for a reason without a code, such as an internal error."""


class StartError(VerityError):
    """A node can't start."""


class KeysMissing(StartError):
    pass


class WrongKey(StartError):
    missing: bytes = b""
    """The id of a root key that wasn't given, where that is what is wrong."""


class KeyFilePermissions(StartError):
    pass


class DataDirectoryInUse(StartError):
    pass


class ForeignData(StartError):
    pass


class NewerFormat(StartError):
    pass


class OlderFormat(StartError):
    """An earlier version of VerityDB wrote the data, and this one can't make them its own."""


class AddressInUse(StartError):
    pass


class ConfigError(StartError):
    pass


class NotLoopback(StartError):
    pass


class RefusedByPeer(StartError):
    """Another node refuses this one's hello, or shows one that this node refuses; the message says why."""


class ForgottenDisk(RefusedByPeer):
    """A node came with another disk than the one that the cluster knows as its."""


class DamagedData(StartError):
    """What is on disk isn't what was written."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        """The file, where another replica could mend it; else empty."""


class StorageError(VerityError):
    """The disk failed the node."""


class DiskFull(StorageError, DefiniteError):
    code = RefusalCode.DISK_FULL


class DiskFailed(StorageError):
    pass


class DatabaseDamaged(StorageError):
    """What lies in a database's file isn't what was written there. Its data is derived: the log has all of it."""


class TooManyOpenFiles(StorageError):
    pass


class FileMissing(StorageError):
    pass


class CryptoError(VerityError):
    pass


class RecordTampered(CryptoError):
    """A sealed record doesn't open: wrong key, or bytes that were changed."""


class KeyUnavailable(CryptoError):
    """The key of a record isn't in the key store: never put, or destroyed."""


class KeyDestroyed(KeyUnavailable):
    """It was destroyed on purpose: what it sealed was erased."""


class EvidenceInvalid(VerityError):
    """A proof, a signed note or a file of an export doesn't hold, or isn't what it claims to be."""


class WireError(VerityError):
    """Bytes that don't follow the protocol; the connection is closed."""


class ProtocolError(WireError):
    """Another node sent what isn't a frame, or what it may not say."""


class NodeStopped(VerityError):
    pass


class ForkedHandle(VerityError):
    pass


class ProjectionFailed(VerityError):
    pass


def _refusals() -> dict[RefusalCode, type[DefiniteError]]:
    found: dict[RefusalCode, type[DefiniteError]] = {RefusalCode.INVALID_ARGUMENT: InvalidArgument}
    todo: list[type[DefiniteError]] = [DefiniteError]
    while todo:
        error = todo.pop()
        todo.extend(error.__subclasses__())
        found.setdefault(error.code, error)
    return found


REFUSALS: dict[RefusalCode, type[DefiniteError]] = _refusals()


def error_for_refusal(code: RefusalCode, message: str) -> DefiniteError:
    """The exception that a client raises for a refusal."""
    return REFUSALS[code](message)
