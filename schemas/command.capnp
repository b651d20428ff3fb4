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
