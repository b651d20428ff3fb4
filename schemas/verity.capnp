@0xa9d52e7f13c08b64;
# The public RPC interface: the bootstrap capability of every node.
#
# A refusal is an exception of type `failed` (or `overloaded`) whose reason starts with a code and a colon, such as
# "WRONG_EXPECTED_OFFSET: expected exactly 3, the stream is at 5". With a code nothing happened and nothing will.
# A call whose connection breaks before its answer may or may not have happened: send it again in its session.
# Calls that write, without a session, are executed at least once if they are sent again, in order per connection.

struct Origin {
  # Makes a retry safe: the same (client, session, number) is executed once and answered always the same.
  client @0 :Data;      # 16 random bytes, the client's own choice
  session @1 :UInt64;   # from openSession; 0: no session
  number @2 :UInt64;    # from 1, consecutive; at most 64 in flight
}

struct Expected {
  union {
    any @0 :Void;
    none @1 :Void;      # the stream must be empty
    exact @2 :UInt64;   # the stream's next offset must be this
  }
}

struct EventRun {
  # Consecutive events of one subject.
  subject @0 :Text;          # whose data this is; empty: the stream's own
  payloads @1 :List(Data);
  eventIds @2 :List(Data);   # 16 bytes each, or empty
  schemaId @3 :UInt32;       # 0: opaque payloads, 1: EventEnvelope (event.capnp)
}

struct StreamAppend {
  stream @0 :Text;
  expected @1 :Expected;
  runs @2 :List(EventRun);
}

struct StreamRange {
  stream @0 :Text;
  firstOffset @1 :UInt64;
  nextOffset @2 :UInt64;
}

struct EventsRead {
  # A run as it is read back.
  stream @0 :Text;
  firstOffset @1 :UInt64;
  firstPosition @2 :UInt64;
  time @3 :Int64;            # microseconds UTC of the commit's op
  payloads @4 :List(Data);
  eventIds @5 :List(Data);
  schemaId @6 :UInt32;
  dataClass @7 :UInt8;
  count @8 :UInt32;          # events in the run, also when only their ids were asked for
}

struct StreamInfo {
  name @0 :Text;
  id @1 :UInt64;
  dataClass @2 :UInt8;       # 0 non-PHI, 1 PHI, 2 deidentified
  placement @3 :Text;        # a region, or "global"
  nextOffset @4 :UInt64;
  createdAt @5 :Int64;       # microseconds UTC
}

struct GroupStatus {
  group @0 :Text;
  status @1 :Text;
  view @2 :UInt64;
  op @3 :UInt64;
  commit @4 :UInt64;
  checkpointOp @5 :UInt64;
  nextPosition @6 :UInt64;
  tenants @7 :UInt64;
  streams @8 :UInt64;
  sessions @9 :UInt64;
  scrubbedAt @10 :Int64;     # microseconds UTC of the end of the last full scrub; 0: none yet
  scrubFaults @11 :UInt64;
}

struct ProjectionStatus {
  tenant @0 :UInt64;
  name @1 :Text;
  position @2 :Text;         # one group:number for each group, separated by spaces
  lag @3 :UInt64;            # events not yet applied
  error @4 :Text;            # why it stopped, or empty
}

struct Row {
  values @0 :List(Value);
}

struct Value {
  union {
    null @0 :Void;
    integer @1 :Int64;
    real @2 :Float64;
    text @3 :Text;
    blob @4 :Data;
  }
}

interface VerityDb {
  openSession @0 (client :Data, group :Text) -> (session :UInt64, window :UInt32);
  # A session belongs to one group (a region's name or "global"; empty: the node's region), because its requests are
  # executed in order. Which group a stream lies in: getStream's placement.

  createStream @1 (origin :Origin, tenant :UInt64, stream :Text, dataClass :UInt8, placement :Text,
                   ifNotExists :Bool) -> (id :UInt64, created :Bool);

  publish @2 (origin :Origin, tenant :UInt64, stream :Text, payloads :List(Data), expected :Expected,
              subject :Text, eventIds :List(Data), schemaId :UInt32)
          -> (firstOffset :UInt64, nextOffset :UInt64, group :Text, nextPosition :UInt64, time :Int64);

  append @3 (origin :Origin, tenant :UInt64, appends :List(StreamAppend))
         -> (ranges :List(StreamRange), group :Text, nextPosition :UInt64, time :Int64);
  # All or none, up to the group's transaction_size_max; TOO_LARGE before anything is written. So for publish.

  read @4 (tenant :UInt64, stream :Text, fromOffset :UInt64, maxEvents :UInt32, waitMicros :UInt64,
           idsOnly :Bool)
       -> (runs :List(EventsRead), nextOffset :UInt64, head :UInt64);
  # Events of one stream in order. With waitMicros an empty answer waits that long for the next event.

  readLog @5 (tenant :UInt64, group :Text, fromPosition :UInt64, maxEvents :UInt32, waitMicros :UInt64)
          -> (runs :List(EventsRead), nextPosition :UInt64, head :UInt64);
  # All events of a tenant in one group, in commit order.

  listStreams @6 (tenant :UInt64, after :Text, max :UInt32) -> (streams :List(StreamInfo), more :Bool);
  getStream @7 (tenant :UInt64, stream :Text) -> (stream :StreamInfo);

  status @8 () -> (node :Text, region :Text, version :Text, groups :List(GroupStatus),
                   projections :List(ProjectionStatus), uptimeSeconds :Float64);

  rows @9 (tenant :UInt64, projection :Text, table :Text, where :List(Condition), orderBy :List(Text),
           limit :UInt32) -> (columns :List(Text), rows :List(Row), position :Text);
  # Rows of a projection's table, filtered by equality.

  struct Condition {
    column @0 :Text;
    value @1 :Value;
  }

  waitForProjection @10 (tenant :UInt64, projection :Text, position :Text, timeoutMicros :UInt64) -> (reached :Bool);
}
