@0xb1e07a53c96d4f28;
# What a prepare's body holds.

struct PrepareBody {
  requests @0 :List(Request);
}

struct Request {
  client @0 :Data;         # 16 bytes
  session @1 :UInt64;      # 0: none
  number @2 :UInt64;
  union {
    createStream @3 :CreateStream;
    appendBatch @4 :AppendBatch;
    openSession @5 :Void;
    putKey @6 :KeyRow;
    reject @7 :Reject;
    appendPart @8 :AppendPart;
    voidTransaction @9 :UInt64;   # the transaction
    reconfigure @10 :Reconfigure;
    knownAppend @11 :KnownAppend;
    createConsumer @12 :CreateConsumer;
    consumerFetch @13 :ConsumerFetch;
    consumerSettle @14 :ConsumerSettle;
    consumerLeave @15 :ConsumerLeave;
    deleteConsumer @16 :DeleteConsumer;
    settleLetters @17 :SettleLetters;
    auditAppend @18 :AuditAppend;
    putPolicy @19 :PutPolicy;
    openGrant @20 :OpenGrant;
    reviewGrant @21 :ReviewGrant;
    putConsent @22 :PutConsent;
    rewrapKeys @23 :RewrapKeys;
    startPeriod @24 :StartPeriod;
    eraseSubject @25 :EraseSubject;
    ackErasure @26 :AckErasure;
    putHold @27 :PutHold;
    releaseHold @28 :ReleaseHold;
    putRetention @29 :PutRetention;
    prune @30 :Prune;
    attest @31 :Attest;
    openSessionAs @32 :Data;      # 32 bytes: SHA-256 of the name of the principal who opens it
  }
}

struct Reject {
  # A numbered request that the gate refused. The reply is this refusal.
  code @0 :Text;
  message @1 :Text;
}

struct CreateStream {
  tenant @0 :UInt64;
  stream @1 :UInt64;
  dataClass @2 :UInt8;
  region @3 :Text;
  lookup @4 :Data;
  record @5 :Data;
  ifNotExists @6 :Bool;
}

struct AppendBatch {
  tenant @0 :UInt64;
  appends @1 :List(StreamAppend);
}

struct KnownAppend {
  # An append some of whose event ids its streams remember.
  tenant @0 :UInt64;
  pieces @1 :List(KnownPiece);
  whole @2 :Bool;          # answered as the first time; otherwise refused
}

struct KnownPiece {
  # Events that a stream has already.
  stream @0 :UInt64;
  eventId @1 :Data;        # of the first: 16 bytes, or empty
  count @2 :UInt32;
}

struct AppendPart {
  # A piece of an append too large for one prepare. The last part closes the transaction.
  transaction @0 :UInt64;  # time of the first part, microseconds UTC
  number @1 :UInt32;       # from 0
  last @2 :Bool;
  tenant @3 :UInt64;
  appends @4 :List(StreamAppend);
}

struct StreamAppend {
  stream @0 :UInt64;
  expectedKind @1 :UInt8;  # 0 any, 1 none, 2 exact, 3 exists
  expectedOffset @2 :UInt64;
  runs @3 :List(Run);
}

struct Run {
  count @0 :UInt32;
  record @1 :Data;
}

struct KeyRow {
  dekId @0 :Data;
  tenant @1 :UInt64;
  scope @2 :UInt8;
  dataClass @3 :UInt8;
  lookup @4 :Data;
  subjectToken @5 :Data;
  kekId @6 :Data;
  kekVersion @7 :UInt32;
  wrapped @8 :Data;
  wrappedSecret @9 :Data;
  period @10 :UInt16;
}

struct Reconfigure {
  # Other members, from the op on that holds this. The prepare's header names the same configuration.
  epoch @0 :UInt64;        # this op
  baseEpoch @1 :UInt64;
  voters @2 :Data;         # a byte each: node numbers
  learners @3 :Data;
  members @4 :List(Member);
}

struct Member {
  node @0 :UInt8;
  name @1 :Text;
  peerAddress @2 :Text;    # host:port
  address @3 :Text;
  diskId @4 :Data;         # 16 bytes
  region @5 :Text;         # empty: of a log from before there were several
}

# Consumer groups. `lookup` is 32 bytes, a member's id 16; packed lists are specified in vdb/wire/consumer_command.py.

struct CreateConsumer {
  tenant @0 :UInt64;
  lookup @1 :Data;
  ackMicros @2 :UInt64;
  inFlightMax @3 :UInt32;
  memberInFlightMax @4 :UInt32;
  orderedBy @5 :UInt8;
  maxDeliver @6 :UInt32;
  backoffMicros @7 :UInt64;
  backoffMaxMicros @8 :UInt64;
  start @9 :UInt64;
  fingerprint @10 :Data;   # 32 bytes
  sealed @11 :Data;
}

struct ConsumerFetch {
  tenant @0 :UInt64;
  lookup @1 :Data;
  member @2 :Data;
  countMax @3 :UInt32;
  scannedFrom @4 :UInt64;
  scannedTo @5 :UInt64;
  candidates @6 :Data;     # packed
}

struct ConsumerSettle {
  tenant @0 :UInt64;
  lookup @1 :Data;
  member @2 :Data;
  settlements @3 :Data;    # packed
  reasons @4 :List(Data);  # one each, or none at all
}

struct ConsumerLeave {
  tenant @0 :UInt64;
  lookup @1 :Data;
  member @2 :Data;
}

struct DeleteConsumer {
  tenant @0 :UInt64;
  lookup @1 :Data;
}

struct SettleLetters {
  tenant @0 :UInt64;
  lookup @1 :Data;
  positions @2 :Data;      # packed
  drop @3 :Bool;
}

# Compliance. What names a subject is an HMAC (32 bytes) or sealed; principals stand in clear.

struct AuditAppend {
  # Entries of a tenant's audit log: one sealed record of its audit tree.
  tenant @0 :UInt64;
  count @1 :UInt32;        # entries in the record
  writes @2 :UInt32;       # how many requests of this prepare that are to be audited it covers
  record @3 :Data;
}

struct PutPolicy {
  serial @0 :UInt64;       # one above that of the policy that it replaces
  version @1 :Text;        # "sha256:" and 64 hex digits
  text @2 :Text;           # TOML
  by @3 :Text;             # the principal who applied it
}

struct OpenGrant {
  tenant @0 :UInt64;
  principal @1 :Text;
  subject @2 :Data;        # lookup; empty: everybody's data
  until @3 :Int64;
  sealed @4 :Data;         # subject and reason
}

struct ReviewGrant {
  tenant @0 :UInt64;
  grant @1 :UInt64;
  reviewer @2 :Text;
  sealed @3 :Data;         # verdict and remark
}

struct PutConsent {
  tenant @0 :UInt64;
  subject @1 :Data;        # lookup
  purposes @2 :List(Text);
  until @3 :Int64;
  withdraw @4 :Bool;
  sealed @5 :Data;         # the subject's name
}

struct RewrapKeys {
  # The same keys under another root key: only how they are wrapped differs.
  rows @0 :List(KeyRow);
  rootKeyId @1 :Data;      # 16 bytes
  begins @2 :Bool;         # from here on new keys are wrapped by it; without rows
  rotationId @3 :Data;     # 16 bytes of whoever begins it; asked for twice, it begins once. Empty: each begins another
}

struct StartPeriod {
  # New data keys from here on: what is sealed from now on has a key of this period.
  tenant @0 :UInt64;
  period @1 :UInt32;
  rotationId @2 :Data;     # as of RewrapKeys
}

struct EraseSubject {
  # Destroys the wrapped keys; what they sealed can't be opened any more.
  tenant @0 :UInt64;
  subject @1 :Data;        # lookup
  dekIds @2 :List(Data);
  basis @3 :Text;
  by @4 :Text;
  sealed @5 :Data;         # the basis, where somebody has given it: JSON
  members @6 :Data;        # a byte each: numbers of the nodes that hold the keys
  judged @7 :UInt64;       # one above the serial of the tenant's holds and rules by which it was judged; 0: not said
}

struct AckErasure {
  # A replica's word that key store, WAL slots and checkpoints that held the keys are overwritten and synced.
  tenant @0 :UInt64;
  erasure @1 :UInt64;
  node @2 :UInt8;
  statement @3 :Data;      # JSON
  signature @4 :Data;      # of the node's key over the statement
}

struct PutHold {
  tenant @0 :UInt64;
  subject @1 :Data;        # lookup; empty: of streams
  sealed @2 :Data;         # subject, stream, reason
}

struct ReleaseHold {
  tenant @0 :UInt64;
  hold @1 :UInt64;
  sealed @2 :Data;         # reason
}

struct PutRetention {
  tenant @0 :UInt64;
  lookup @1 :Data;         # of the stream's name or pattern
  dataClass @2 :UInt8;
  days @3 :UInt32;
  sealed @4 :Data;         # the name or pattern
}

struct Prune {
  # Whole segments of the tenant's log go: every record in them is expired or shredded, and nothing holds them.
  tenant @0 :UInt64;
  segments @1 :List(PrunedSegment);
  judged @2 :UInt64;       # serial of the holds and rules of retention by which this was judged
  by @3 :Text;
}

struct PrunedSegment {
  # A closed segment, and the stub that takes its place.
  segment @0 :UInt32;
  firstPosition @1 :UInt64;
  nextPosition @2 :UInt64; # one above its last event's
  length @3 :UInt64;       # bytes of the segment
  stubLength @4 :UInt64;
  stubCrc @5 :UInt32;
}

struct Attest {
  tenant @0 :UInt64;
  stream @1 :UInt64;
  by @2 :Text;
  sealed @3 :Data;         # expert, statement, digest of the document
}
