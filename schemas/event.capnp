@0xd3f1a6c2b84e9017;
# Events as they lie, sealed, in the event log.

struct EventBatch {
  # The plaintext of one sealed record: a run of consecutive events of one stream.
  payloads @0 :List(Data);
}

struct EventEnvelope {
  # A typed event, carried as one payload of an EventBatch whose schema id is 1. (Schema id 0: the payload is opaque.)
  eventId @0 :Data;        # 16 bytes
  type @1 :Text;
  version @2 :UInt32;
  time @3 :Int64;          # microseconds UTC, when it happened according to the writer
  actor @4 :Text;
  correlationId @5 :Data;  # 16 bytes, or empty
  causationId @6 :Data;    # 16 bytes, or empty
  subject @7 :Text;        # whose data this is, or empty
  body @8 :Data;           # JSON of the registered class
}
