@0xa9d52e7f13c08b64;
# The public RPC interface: the bootstrap capability of every node.
#
# A refusal is an exception of type `failed` (or `overloaded`) whose reason starts with a code and a colon, such as
# "WRONG_EXPECTED_OFFSET: expected exactly 3, the stream is at 5". With a code nothing happened and nothing will.
# A call whose connection breaks before its answer may or may not have happened: send it again in its session.
# Calls that write, without a session, are executed at least once if they are sent again, in order per connection.
#
# In a cluster each group has a primary, which alone takes its writes and its linearizable reads. Another node answers
# "NOT_PRIMARY: primary=HOST:PORT; ..." (the address is empty while no primary is known): call that one. A primary that
# was deposed meanwhile fails calls that it had begun with type `disconnected` and "PRIMARY_LOST: ...": those may or may
# not have happened, and the connection goes on.

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
    exists @3 :Void;    # the stream must have an event at least
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

struct Consistency {
  # What a read may miss.
  union {
    linearizable @0 :Void;  # nothing that was acknowledged before the call: answered by the group's primary alone
    atLeast @1 :Text;       # a position "group:number", such as an append returned: any node, once it has applied it
    stale @2 :Void;         # whatever the node has
  }
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
  primary @12 :UInt8;        # number of the node that is the primary of the view, if it has started
  primaryAddress @13 :Text;  # for clients; empty: not known, or the group is between two views
  epoch @14 :UInt64;         # the op that made the configuration; 0: the founding one
  members @15 :List(MemberStatus);
  serving @16 :Bool;         # this node is the primary and answers
  diskFull @17 :Bool;
  stillMicros @18 :UInt64;   # for how long requests have waited here without any commit; 0: none wait, or some commit
  policySerial @19 :UInt64;  # of the policy that the group goes by; 0: none was applied
  unreviewedGrants @20 :UInt32; # broken glasses of all tenants that nobody has reviewed
  cosignedAt @21 :Int64;     # microseconds UTC: when witnesses signed the tree that waits longest; 0: one never was
  witnesses @22 :UInt8;      # whom the answering node asks to cosign; 0: nobody
}

struct MemberStatus {
  # A member of a group, as the answering node sees it.
  node @0 :UInt8;
  name @1 :Text;
  learner @2 :Bool;
  address @3 :Text;          # for clients
  peerAddress @4 :Text;
  commit @5 :UInt64;         # the highest that was heard of
  checkpointOp @6 :UInt64;
  heardMicros @7 :Int64;     # since its last message; -1: never heard; 0: the node itself
  clockOffsetMicros @8 :Int64;   # its clock minus the answering node's
  clockKnown @9 :Bool;       # whether the offset was measured
}

struct Building {
  # Rows of a projection that are built beside those in use.
  generation @0 :UInt32;     # 0: none are
  version @1 :UInt32;
  done @2 :UInt64;           # positions read
  total @3 :UInt64;          # positions there are to read
  eventsPerSecond @4 :Float64;
  etaSeconds @5 :Float64;    # below 0: not known yet
  state @6 :Text;            # "building", "ready" (waits for the switch), "failed"
  error @7 :Text;            # of a check that doesn't hold, or of a handler
}

struct ProjectionStatus {
  tenant @0 :UInt64;
  name @1 :Text;
  position @2 :Text;         # one group:number for each group, separated by spaces
  lag @3 :UInt64;            # events not yet applied
  error @4 :Text;            # why it stopped, or empty
  version @5 :UInt32;
  generation @6 :UInt32;     # of the file in use: it counts up with each that was built
  state @7 :Text;            # "following", "stopped", "held up", "opening"
  ageMicros @8 :Int64;       # of the oldest event not yet applied; 0: all are
  headAgeMicros @9 :Int64;   # since the tenant's last event was appended; -1: none was
  parked @10 :UInt64;
  skipped @11 :UInt64;
  building @12 :Building;    # the rows that are built beside, if any are
  previous @13 :UInt32;      # the generation to go back to; 0: none
  fileSeconds @14 :Float64;  # since the position in the file last moved
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
    rawText @5 :Data;        # text whose bytes aren't UTF-8
  }
}

struct Attribution {
  # On whose behalf: goes with each transaction into the log.
  actor @0 :Text;
  purpose @1 :Text;
  metadata @2 :List(Entry);

  struct Entry {
    name @0 :Text;
    value @1 :Text;
  }
}

struct SqlDatabaseInfo {
  name @0 :Text;
  group @1 :Text;
  dataClass @2 :UInt8;
  nextOffset @3 :UInt64;     # of its stream
  createdAt @4 :Int64;       # microseconds UTC
}

struct SqlCall {
  # What every call of a SQL session that may write begins with.
  session @0 :UInt64;        # from sqlOpen, on this connection
  transaction @1 :Data;      # 16 bytes, the client's own choice: the id of what this call commits. Empty: the node's
  within @2 :Bool;           # the caller believes that a transaction is open: TRANSACTION_ENDED if none is
  consistency @3 :Consistency;    # of what is read outside of a transaction, or where one begins
  attribution @4 :Attribution;    # from now on, if given
}

struct SqlParameters {
  union {
    none @0 :Void;
    list @1 :List(Value);
    named @2 :List(Named);
  }

  struct Named {
    name @0 :Text;
    value @1 :Value;
  }
}

struct SqlStatement {
  text @0 :Text;
  parameters @1 :SqlParameters;
}

struct SqlFile {
  name @0 :Text;
  text @1 :Text;
}

struct SqlAnswer {
  # What a statement gave, and how the session stands after it.
  columns @0 :List(Text);    # empty: the statement returns no rows
  cells @1 :List(Value);     # of the rows here, row by row
  cursor @2 :UInt64;         # 0: that's all; else there may be more, for sqlFetch
  rowcount @3 :Int64;        # -1: not known
  lastrowid @4 :Int64;
  hasLastrowid @5 :Bool;
  inTransaction @6 :Bool;
  group @7 :Text;            # of the last transaction that this session committed; empty: none yet
  nextPosition @8 :UInt64;   # before which it lies
  nextOffset @9 :UInt64;     # of the database's stream, as far as the node's file has applied it
  totalChanges @10 :UInt64;  # rows that this session has changed
  declared @11 :List(Text);  # of each column the type that it is declared with; empty where it has none
}

struct SqlImage {
  # A row; not there: there was none.
  columns @0 :List(Text);
  values @1 :List(Value);
}

struct SqlVersion {
  # What a transaction did to a row.
  operation @0 :UInt8;       # 1: insert, 2: update, 3: delete, 4: one of these, of a row that was erased since
  table @1 :Text;
  before @2 :SqlImage;
  after @3 :SqlImage;
  transaction @4 :Data;
  attribution @5 :Attribution;
  firstOffset @6 :UInt64;
  nextOffset @7 :UInt64;     # where the transaction ends: as of here the database has this version
  position @8 :UInt64;       # in the database's group: of the event after the transaction's last
  time @9 :Int64;            # microseconds UTC of when it was logged
}

struct SqlRowDiff {
  table @0 :Text;
  operation @1 :UInt8;       # as of a SqlVersion
  before @2 :SqlImage;
  after @3 :SqlImage;
}

struct SqlExplanation {
  # What a statement would do.
  kind @0 :Text;             # READ, WRITE, SCHEMA, TEMP, BEGIN, ...
  returnsRows @1 :Bool;
  tablesRead @2 :List(Text); # through triggers, views and foreign keys, too; so for those written
  tablesWritten @3 :List(Text);
  functions @4 :List(Text);
  beginMode @5 :Text;
  name @6 :Text;             # of a savepoint or a PRAGMA
  argument @7 :Text;         # of a PRAGMA, if it has one
  reads @8 :List(Read);
  writes @9 :List(Write);
  logs @10 :List(Text);      # what goes into the log if rows change, a line each
  plan @11 :List(Text);      # SQLite's query plan
  remarks @12 :List(Text);

  struct Read {
    table @0 :Text;
    columns @1 :List(Text);
    through @2 :Text;        # the view or trigger that reads it; empty: the statement, or a foreign key
  }

  struct Write {
    table @0 :Text;
    operation @1 :Text;      # insert, update or delete
    columns @2 :List(Text);
    through @3 :Text;
    temporary @4 :Bool;
    view @5 :Bool;
  }
}

struct EventFilter {
  # Which events are meant. Everything that is given must hold.
  stream @0 :Text;           # exactly this stream; empty: any
  prefixes @1 :List(Text);   # streams whose names begin with one of these; empty: any
  types @2 :List(Text);      # types of events ("" for opaque payloads); empty: all
}

struct EventStart {
  # Where to begin.
  union {
    edge @0 :Void;           # with the first event; backward: with the last
    offset @1 :UInt64;       # with this offset; where the filter names one stream
    position @2 :UInt64;     # with this number of the group's log
    time @3 :Int64;          # microseconds UTC: with the first event appended then or later; backward: the last before
    end @4 :Void;            # behind the last event
  }
}

struct EventRecord {
  # One event as it is read back. The payload is an EventEnvelope (event.capnp) where schemaId is 1.
  stream @0 :Text;
  offset @1 :UInt64;
  position @2 :UInt64;       # its number in the group's log
  time @3 :Int64;            # microseconds UTC of the op that appended it
  payload @4 :Data;
  eventId @5 :Data;          # 16 bytes, or empty
  schemaId @6 :UInt32;
  dataClass @7 :UInt8;
}

struct ConsumerSettings {
  # What a consumer group is. Fixed when it is created.
  filter @0 :EventFilter;
  start @1 :EventStart;      # by offset: where the filter names one stream
  ackMicros @2 :UInt64;      # after so long without an answer a delivery is made again
  inFlightMax @3 :UInt32;    # deliveries without an answer, of all members
  memberInFlightMax @4 :UInt32;   # of one member; 0: no limit of its own
  orderedBy @5 :UInt8;       # 0: nothing; 1: stream; 2: subject (the stream where none is given): one delivery a key
  maxDeliver @6 :UInt32;     # after so many deliveries an event becomes a dead letter; 0: never
  backoffMicros @7 :UInt64;  # pause after the first failed delivery; doubles with each, with jitter
  backoffMaxMicros @8 :UInt64;
}

struct Delivery {
  event @0 :EventRecord;
  attempt @1 :UInt32;        # from 1
  deadline @2 :Int64;        # microseconds UTC
}

struct Settlement {
  # A member's answer to a delivery.
  position @0 :UInt64;
  attempt @1 :UInt32;
  union {
    ack @2 :Void;
    nak @3 :Int64;           # microseconds after which it may be delivered again; below 0: the group's back-off
    extend @4 :UInt64;       # microseconds from now; 0: the group's ackMicros
    term @5 :Text;           # why it will never be handled: it becomes a dead letter
    untried @6 :Void;        # nobody has looked at it: it may be delivered at once, and the attempt doesn't count
  }
}

struct ConsumerInfo {
  name @0 :Text;
  group @1 :Text;
  settings @2 :ConsumerSettings;
  position @3 :UInt64;       # everything before it has been handed out, or didn't fit the filter
  head @4 :UInt64;           # where the tenant's events end
  inFlight @5 :UInt32;
  waiting @6 :UInt32;        # to be delivered again, or held back by the order of their key
  deadLetters @7 :UInt64;
  acked @8 :UInt64;
  delivered @9 :UInt64;      # deliveries made, repeated ones included
  createdAt @10 :Int64;      # microseconds UTC
  members @11 :List(ConsumerMember);
}

struct ConsumerMember {
  id @0 :Data;
  inFlight @1 :UInt32;
}

struct DeadLetter {
  position @0 :UInt64;
  stream @1 :Text;
  offset @2 :UInt64;
  attempts @3 :UInt32;
  time @4 :Int64;            # microseconds UTC when it was given up
  reason @5 :Text;           # the member's own, or empty where deliveries ran out
}

struct ParkedEvent {
  # An event that a projection passed over.
  position @0 :Text;         # group:number
  stream @1 :Text;
  type @2 :Text;
  key @3 :Text;              # whose later events wait behind it; empty: nobody's
  error @4 :Text;
  attempts @5 :UInt32;
  waiting @6 :UInt64;        # events that wait behind it
  skipped @7 :Bool;          # it was skipped for good
}

struct RowDifference {
  table @0 :Text;
  key @1 :List(Value);
  before @2 :List(Value);    # as the rows in use have it; empty: they don't
  after @3 :List(Value);     # as the new rows have it; empty: they don't
  columns @4 :List(Text);    # of before and after
  keyColumns @5 :List(Text);
}

# Compliance: identity, audit, policy, keys, erasure. A tenant's audit log lies in the group whose data it is about.

struct AuditSearch {
  # What is wanted of an audit log; an empty field says nothing.
  subject @0 :Text;          # entries about this subject, and those about all subjects
  actor @1 :Text;            # a principal
  kinds @2 :List(Text);
  fromTime @3 :Int64;        # microseconds UTC; 0: from the beginning
  toTime @4 :Int64;          # before this; 0: to the end
}

struct AuditRecordRead {
  # A sealed record of an audit log: one leaf of its tree.
  index @0 :UInt64;          # of the leaf
  firstEntry @1 :UInt64;     # number of its first entry in the log
  time @2 :Int64;
  leafData @3 :Data;         # the record's header and the SHA-256 of its sealed body
  body @4 :Data;             # sealed; only where `sealed` was asked for
  recordKey @5 :Data;        # opens this one record; only where `sealed` was asked for
  entries @6 :List(Data);    # as they were sealed: JSON (vdb/audit/entry.py); of a search those alone that fit
  shredded @7 :Bool;         # its key was destroyed: there are no entries
}

struct AccessGrant {
  # A glass that was broken.
  grant @0 :UInt64;
  principal @1 :Text;
  subject @2 :Text;          # empty: everybody's data
  reason @3 :Text;
  opened @4 :Int64;          # microseconds UTC
  until @5 :Int64;
  reviewer @6 :Text;         # empty: not reviewed yet
  verdict @7 :Text;
  remark @8 :Text;
  reviewed @9 :Int64;
}

struct Consent {
  subject @0 :Text;
  purposes @1 :List(Text);
  until @2 :Int64;           # microseconds UTC; 0: until it is withdrawn
  given @3 :Int64;
}

struct Erasure {
  erasure @0 :UInt64;        # number of it, from 1
  subjectToken @1 :Data;
  basis @2 :Text;
  time @3 :Int64;
  op @4 :UInt64;
  keys @5 :UInt32;           # destroyed
  pending @6 :List(UInt8);   # nodes that haven't acknowledged yet
  certificate @7 :Text;      # JSON, once nothing is pending
}

struct Hold {
  hold @0 :UInt64;
  subject @1 :Text;          # empty: whole streams
  stream @2 :Text;           # a name or PREFIX*; empty: all
  reason @3 :Text;
  placed @4 :Int64;
  released @5 :Int64;        # 0: it holds
}

struct Retention {
  stream @0 :Text;           # a name or PREFIX*
  dataClass @1 :UInt8;
  days @2 :UInt32;
}

struct RegionMember {
  region @0 :Text;           # or "global"
  addresses @1 :List(Text);  # of nodes that hold a member of the group, for clients
}

struct LiveSession {
  # A connection on which somebody has shown who asks.
  session @0 :UInt64;        # the node's own number for it
  principal @1 :Text;
  kind @2 :Text;             # how it was shown: "mtls", "oidc", "development"
  mfa @3 :Bool;
  client @4 :Text;           # where it connects from
  purpose @5 :Text;
  since @6 :Int64;           # microseconds UTC
  idleMicros @7 :UInt64;     # since its last call
  expires @8 :Int64;         # microseconds UTC; 0: never
}

interface VerityDb {
  openSession @0 (client :Data, group :Text) -> (session :UInt64, window :UInt32);
  # A session belongs to one group (a region's name or "global"; empty: the node's region), because its requests are
  # executed in order. Which group a stream lies in: getStream's placement. It belongs to the principal who opens it, too:
  # what somebody else sends in it is denied, and so is opening another one for its client.

  createStream @1 (origin :Origin, tenant :UInt64, stream :Text, dataClass :UInt8, placement :Text,
                   ifNotExists :Bool) -> (id :UInt64, created :Bool);

  publish @2 (origin :Origin, tenant :UInt64, stream :Text, payloads :List(Data), expected :Expected,
              subject :Text, eventIds :List(Data), schemaId :UInt32)
          -> (firstOffset :UInt64, nextOffset :UInt64, group :Text, nextPosition :UInt64, time :Int64);

  append @3 (origin :Origin, tenant :UInt64, appends :List(StreamAppend))
         -> (ranges :List(StreamRange), group :Text, nextPosition :UInt64, time :Int64);
  # All or none, up to the group's transaction_size_max; TOO_LARGE before anything is written. So for publish.

  read @4 (tenant :UInt64, stream :Text, fromOffset :UInt64, maxEvents :UInt32, waitMicros :UInt64,
           idsOnly :Bool, consistency :Consistency)
       -> (runs :List(EventsRead), nextOffset :UInt64, head :UInt64);
  # Events of one stream in order. With waitMicros an empty answer waits that long for the next event.

  readLog @5 (tenant :UInt64, group :Text, fromPosition :UInt64, maxEvents :UInt32, waitMicros :UInt64,
              consistency :Consistency)
          -> (runs :List(EventsRead), nextPosition :UInt64, head :UInt64);
  # All events of a tenant in one group, in commit order.

  listStreams @6 (tenant :UInt64, after :Text, max :UInt32, group :Text, consistency :Consistency)
              -> (streams :List(StreamInfo), more :Bool);
  getStream @7 (tenant :UInt64, stream :Text, group :Text, consistency :Consistency) -> (stream :StreamInfo);
  # `group`: where to look; empty: all groups of the node, which must then be the primary of each.

  status @8 () -> (node :Text, region :Text, version :Text, groups :List(GroupStatus),
                   projections :List(ProjectionStatus), uptimeSeconds :Float64,
                   number :UInt8, cluster :Data, diskId :Data, clockSynchronised :Bool);

  rows @9 (tenant :UInt64, projection :Text, table :Text, where :List(Condition), orderBy :List(Text),
           limit :UInt32) -> (columns :List(Text), rows :List(Row), position :Text);
  # Rows of a projection's table, filtered by equality.

  struct Condition {
    column @0 :Text;
    value @1 :Value;
  }

  waitForProjection @10 (tenant :UInt64, projection :Text, position :Text, timeoutMicros :UInt64) -> (reached :Bool);

  # Members of a group, one change at a time; NOT_PRIMARY, CONFIGURATION_CHANGED. Where nothing is left to change the
  # epoch of the present configuration is returned.

  addMember @11 (group :Text, node :UInt8, name :Text, peerAddress :Text, address :Text, diskId :Data, region :Text)
            -> (epoch :UInt64);
  # A learner: it receives the log and has no vote. region: the node's; a region's group has members of that region alone.

  promoteMember @12 (group :Text, node :UInt8) -> (epoch :UInt64);
  # A learner becomes a voter; LEARNER_BEHIND until it has caught up.

  removeMember @13 (group :Text, node :UInt8) -> (epoch :UInt64);

  recoverMember @14 (group :Text, node :UInt8, diskId :Data) -> (epoch :UInt64);
  # A member whose disk was lost is back on another: it becomes a learner, known by its new disk.

  abdicate @15 (group :Text) -> ();
  # The primary gives up its view, and another takes over.

  # SQL databases. A session belongs to its connection and ends with it; what it hasn't committed is rolled back. It
  # ends as well when its group gets another primary: TRANSACTION_ENDED within a transaction, else NOT_READY; open
  # another one. Calls of one session are executed one after the other, in the order of their arrival.
  #
  # What SQLite says of a statement is "SQL_FAILED: KIND CODE open; message" (or "closed;", where no transaction is open
  # any more); KIND is the DB-API's class of error, CODE SQLite's extended result code. After SQL_FAILED (open),
  # SQL_REFUSED, DATABASE_LOCKED, INVALID_ARGUMENT and TOO_LARGE an open transaction stays open; after every other error
  # it is over and has left nothing, unless the error is one whose outcome isn't known: ask sqlOutcome.

  sqlCreate @16 (origin :Origin, tenant :UInt64, database :Text, dataClass :UInt8, placement :Text, ifNotExists :Bool)
            -> (created :Bool);

  sqlList @17 (tenant :UInt64, group :Text, consistency :Consistency) -> (databases :List(SqlDatabaseInfo));

  sqlOpen @18 (tenant :UInt64, database :Text, attribution :Attribution, lockMicros :UInt64, idleMicros :UInt64,
               consistency :Consistency, asOf :Text)
          -> (session :UInt64, group :Text, nextOffset :UInt64);
  # lockMicros: how long a write waits for the database's one writer. idleMicros: after so long without a call a
  # transaction is rolled back; 0 or too long: the node's own limit. So are rows that nobody fetches given up.
  #
  # asOf: the session reads the database as it was, and writes nothing: an offset of the database's stream ("7"), a
  # position GROUP:NUMBER, or a time ("2026-03-01T12:00:00Z"); empty: the present. nextOffset is then what it has. Any
  # node that has the log up to there serves it; NOT_PRIMARY where more may have been acknowledged up to that moment.

  sqlExecute @19 (call :SqlCall, statement :SqlStatement, maxRows :UInt32) -> (answer :SqlAnswer);
  # At most maxRows rows (0: as many as fit a chunk), and no more than fit one; the others are fetched.

  sqlExecuteMany @20 (call :SqlCall, text :Text, parameters :List(SqlParameters)) -> (answer :SqlAnswer);
  # One statement for each of several parameters; outside of a transaction they are one.

  sqlBatch @21 (call :SqlCall, statements :List(SqlStatement), maxRows :UInt32) -> (answers :List(SqlAnswer));
  # Several statements up to the first that fails. Outside of a transaction they are one, all or none; statements that
  # begin or end transactions are refused. A statement's rows beyond maxRows (0: a chunk) are given up.

  sqlFetch @22 (session :UInt64, cursor :UInt64, maxRows :UInt32) -> (answer :SqlAnswer);
  sqlCloseCursor @23 (session :UInt64, cursor :UInt64) -> ();
  sqlCommit @24 (call :SqlCall) -> (answer :SqlAnswer);
  sqlRollback @25 (call :SqlCall) -> (answer :SqlAnswer);
  # Harmless where no transaction is open.

  sqlClose @26 (session :UInt64) -> ();

  sqlOutcome @27 (tenant :UInt64, database :Text, transaction :Data, sinceOffset :UInt64)
             -> (committed :Bool, group :Text, nextPosition :UInt64, nextOffset :UInt64);
  # What became of a transaction whose answer was lost: the id that its call named, and a nextOffset from before it
  # began. "Not committed" is for good: a call that names this id and comes later is refused.

  sqlMigrate @28 (call :SqlCall, files :List(SqlFile)) -> (answer :SqlAnswer);
  # Applies the first of these migrations that the database hasn't yet, as one transaction: its row is the file's name.
  # No row: it has all. MIGRATION_ERROR names the file that changed since it was applied, is missing, or fails.

  sqlHistory @29 (call :SqlCall, table :Text, key :List(Value), skip :UInt64, toOffset :UInt64)
             -> (versions :List(SqlVersion), more :Bool, toOffset :UInt64);
  # The versions of a row, the oldest first. key: of its primary key, or its rowid where the table has none. Those
  # that don't fit an answer are asked for with skip (how many have come) and the toOffset of the first answer.

  sqlExplain @30 (call :SqlCall, text :Text) -> (explanation :SqlExplanation);
  # What a statement would read, write and log. It isn't run.

  sqlDiff @31 (call :SqlCall, first :Text, second :Text, skip :UInt64)
          -> (rows :List(SqlRowDiff), more :Bool, firstOffset :UInt64, secondOffset :UInt64);
  # What turns the rows of the first moment (as sqlOpen's asOf; empty: now) into those of the second, table by table.
  # Those that don't fit an answer are asked for with skip, and the offsets of the first answer as moments.

  sqlRestore @32 (call :SqlCall, name :Text, moment :Text) -> ();
  # Makes a new database as this one was, at the primary. STREAM_EXISTS if there is one of this name. If the answer is
  # lost, or is an error, a part of the rows may be in it.

  # Events by stream, prefix and type, both ways.

  readEvents @33 (tenant :UInt64, group :Text, filter :EventFilter, start :EventStart, backward :Bool,
                  maxEvents :UInt32, waitMicros :UInt64, consistency :Consistency)
             -> (events :List(EventRecord), next :UInt64, head :UInt64, ended :Bool);
  # `next`: where the next read begins, an offset where the filter names one stream, else a position; backward the event
  # before it comes first. `ended`: nothing more fits for now. A read may look through much and find nothing: then events
  # is empty and ended false. Forward, an answer that would be empty at the end waits so long for the next event.

  # Consumers: groups of members among which the events of a filter are shared. Their state is the group's, replicated,
  # so that it survives a change of the primary, which alone answers these. UNKNOWN_CONSUMER.

  consumerCreate @34 (origin :Origin, tenant :UInt64, group :Text, consumer :Text, settings :ConsumerSettings)
                 -> (created :Bool);
  # One with the same settings is fine; CONSUMER_EXISTS if they differ.

  consumerFetch @35 (tenant :UInt64, group :Text, consumer :Text, member :Data, max :UInt32, waitMicros :UInt64,
                     again :Bool, held :List(UInt64))
                -> (deliveries :List(Delivery));
  # Empty once nothing has come for so long. member: 16 bytes of its own choice. If the answer is lost, what it
  # delivered is delivered again after its deadline, or to who asks `again`: then what is out with the member comes
  # first, as it was delivered, apart from the positions that it knows of (held).

  consumerSettle @36 (origin :Origin, tenant :UInt64, group :Text, consumer :Text, member :Data,
                      settlements :List(Settlement)) -> (late :List(UInt64));
  # late: positions that aren't this member's in this attempt (any more); nothing is done to them.

  consumerLeave @37 (origin :Origin, tenant :UInt64, group :Text, consumer :Text, member :Data) -> (returned :UInt32);
  # The member's deliveries are given back, and may be delivered at once.

  consumerList @38 (tenant :UInt64, group :Text, consumer :Text, consistency :Consistency)
               -> (consumers :List(ConsumerInfo));
  # The one of this name, or all of the group.

  consumerDelete @39 (origin :Origin, tenant :UInt64, group :Text, consumer :Text) -> (deleted :Bool);

  deadLetters @40 (tenant :UInt64, group :Text, consumer :Text, after :UInt64, max :UInt32)
              -> (letters :List(DeadLetter), more :Bool);
  # In the order of their positions, from `after` on.

  deadLettersSettle @41 (origin :Origin, tenant :UInt64, group :Text, consumer :Text, positions :List(UInt64),
                         drop :Bool, actor :Text, reason :Text) -> (count :UInt32);
  # Deliver them anew, from attempt 1, or drop them for good; who did so, and why, is an event of the tenant's own
  # stream "$consumers". No positions: all there are.

  # Projections, on the node that is asked. See ProjectionStatus for how far each is.

  rebuildProjection @42 (tenant :UInt64, projection :Text, hold :Bool) -> ();
  # Builds the rows anew beside those in use, from the log, and then uses the new ones; hold: only when told
  # to. Returns once it has begun.

  switchProjection @43 (tenant :UInt64, projection :Text, back :Bool) -> (generation :UInt32);
  # Uses the rows that were built beside; back: those that were in use before.

  diffProjection @44 (tenant :UInt64, projection :Text, max :UInt32)
                 -> (differences :List(RowDifference), count :UInt64, more :Bool,
                     positionBefore :Text, positionAfter :Text);
  # How the rows built beside differ from those in use, both held at one position where both can move. count: of all
  # differences; more: there are more than were told.

  parkedEvents @45 (tenant :UInt64, projection :Text, max :UInt32) -> (events :List(ParkedEvent));
  settleParked @46 (tenant :UInt64, projection :Text, position :Text, drop :Bool) -> (count :UInt32);
  # Tries a parked event, and those that wait behind it, again, or drops it. No position: all there are.

  # Evidence. Each tenant's records in a group are the leaves of a Merkle tree (RFC 6962), in commit order. Answered by the
  # group's primary.

  treeHead @47 (tenant :UInt64, group :Text, family :Text, cosigned :Bool) -> (note :Data, verifierKey :Text);
  # The tree as it is, as a signed note (C2SP tlog-checkpoint), and the vkey of the node that signed. family: "data", which
  # is what an empty one means, or "audit". cosigned: the last that the node's witnesses have signed, instead of the tree as
  # it is; NOT_AVAILABLE says why there is none.

  proveRecord @48 (tenant :UInt64, stream :Text, offset :UInt64) -> (proof :Data, verifierKey :Text);
  # That the record of this event is in the tree (C2SP tlog-proof). Its extra data is the leaf's: the record's header and
  # the SHA-256 of its sealed body.

  proveConsistency @49 (tenant :UInt64, group :Text, size :UInt64, family :Text)
                   -> (note :Data, verifierKey :Text, path :List(Data));
  # The tree as it is, and that it begins with the tree of `size` leaves. INVALID_ARGUMENT if it never had as many.

  # Compliance.

  authenticate @50 (token :Text, purpose :Text, reason :Text)
               -> (principal :Text, kind :Text, mfa :Bool, development :Bool, expires :Int64);
  # Who speaks on this connection from now on, and for which purpose of use. No token: whom its certificate names.

  auditEntries @51 (tenant :UInt64, group :Text, fromIndex :UInt64, max :UInt32, search :AuditSearch, sealed :Bool)
               -> (records :List(AuditRecordRead), next :UInt64, size :UInt64, names :List(Text));
  # Records of the audit log in order, from a leaf on; next: the leaf to go on from; size: of the tree. names: what
  # entries call the subject by that is searched for.

  applyPolicy @52 (text :Text, expectedSerial :UInt64) -> (serial :UInt64, version :Text);
  # TOML (vdb/policy/file.py). expectedSerial: of the policy that it replaces; 0: there is none.

  getPolicy @53 (group :Text) -> (serial :UInt64, version :Text, text :Text, appliedAt :Int64, appliedBy :Text);
  # serial 0: this group has none.

  breakGlass @54 (tenant :UInt64, group :Text, subject :Text, reason :Text, seconds :UInt32)
             -> (grant :UInt64, until :Int64);

  reviewGrant @55 (tenant :UInt64, group :Text, grant :UInt64, verdict :Text, remark :Text) -> ();

  listGrants @56 (tenant :UInt64, group :Text, unreviewed :Bool) -> (grants :List(AccessGrant));

  putConsent @57 (tenant :UInt64, group :Text, subject :Text, purposes :List(Text), until :Int64, withdraw :Bool) -> ();

  listConsents @58 (tenant :UInt64, group :Text, subject :Text) -> (consents :List(Consent));

  rotateKeys @59 (tenant :UInt64, group :Text, max :UInt32, begin :Bool, rotationId :Data, force :Bool)
             -> (rewrapped :UInt64, left :UInt64, period :UInt32, rootKeyId :Data);
  # One step: at most so many tenants' keys. left: tenants whose turn is still to come. begin: unless a rotation to the
  # same root key isn't done yet, another one begins. tenant 0: all; another one: new data keys for it alone.
  # rotationId: 16 bytes that whoever asks has chosen: what was begun under it last isn't begun again. Empty: it is.
  # force: begin also where a member of the group lacks the new root key, or doesn't say; it applies nothing until then.

  keyStatus @60 (group :Text)
            -> (provider :Text, rootKeyId :Data, tenants :UInt64, behind :UInt64, keys :UInt64, given :List(Data),
                began :Int64, settled :Bool, node :Text, files :UInt32, missing :Data);
  # Of the node that is asked. given: ids of the root keys that it has, the one that a rotation would lead to first.
  # began: of the last rotation, microseconds UTC; 0: there was none. settled: its disk needs no other root key.
  # files: encrypted files that are still under an earlier key. missing: id of a root key that the node waits for.

  eraseSubject @61 (tenant :UInt64, group :Text, subject :Text, basis :Text, dryRun :Bool)
               -> (erasure :UInt64, report :Text);
  # report: JSON; what would be, or was, destroyed, and what stands against it.

  listErasures @62 (tenant :UInt64, group :Text) -> (erasures :List(Erasure));

  putHold @63 (tenant :UInt64, group :Text, subject :Text, stream :Text, reason :Text) -> (hold :UInt64);

  releaseHold @64 (tenant :UInt64, group :Text, hold :UInt64, reason :Text) -> ();

  listHolds @65 (tenant :UInt64, group :Text) -> (holds :List(Hold));

  putRetention @66 (tenant :UInt64, group :Text, stream :Text, dataClass :UInt8, days :UInt32) -> ();
  # days 0: no rule for it any more.

  listRetention @67 (tenant :UInt64, group :Text) -> (rules :List(Retention));

  prune @68 (tenant :UInt64, group :Text, dryRun :Bool) -> (segments :UInt64, bytes :UInt64, report :Text);
  # Erases what has expired: keys of periods that ended longer ago than their rule keeps, and the sealed bytes of whole
  # segments in which every record is expired or erased and on no hold. segments, bytes: that are gone by it, or would
  # be. report: JSON; keys, how many of what are left for the next call, what holds keep back, and the erasure.

  attest @69 (tenant :UInt64, stream :Text, expert :Text, statement :Text, documentDigest :Data) -> ();
  # An expert's determination (45 CFR 164.514(b)(1)), by which a de-identified stream may hold free text.

  regions @70 () -> (members :List(RegionMember), region :Text, groups :List(Text));
  # Which nodes hold which group, as far as this one knows; the region of the one that answers, and the groups it holds.

  recordAudit @71 (tenant :UInt64, group :Text, kind :Text, detail :Text) -> (index :UInt64);
  # An entry of an application's own, such as an export that it made, or a review that it did. detail: JSON.

  leaves @72 (tenant :UInt64, group :Text, family :Text, fromIndex :UInt64, max :UInt32)
         -> (leaves :List(Data), next :UInt64, size :UInt64);
  # Leaves of a tree in order: each record's header, which says class, region and time, and the SHA-256 of its sealed body.
  # Who has them all has the root, and knows of every record where it may lie. next: the leaf to go on from.

  speakFor @73 (person :Text) -> ();
  # On whose behalf the calls are made that follow on this connection; empty: on nobody's. It gives no rights, stands in
  # the audit log beside the principal, and is refused where the policy doesn't let the principal name others. Calls that
  # came before keep whom they were made for. While what was said isn't accepted, no call is.

  listSessions @74 () -> (sessions :List(LiveSession));
  # Who is connected to the node that is asked.

  endSession @75 (session :UInt64) -> (ended :Bool);
  # Ends a connection of the node that is asked. ended: whether there was one.
}
