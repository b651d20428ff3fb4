@0xc94e7d15a80b3f62;
# Transactions of a SQL database, as they lie in its stream.

struct SqlEvent {
  # One payload (schema id 2). A transaction is a run of payloads without a gap: begin, then its steps in order.
  number @0 :UInt32;       # of this payload within its transaction; begin is 0
  last @1 :Bool;           # the transaction ends here
  moved @2 :Bool;          # half of an update that took a row to another subject: the delete, or the insert behind it
  union {
    begin @3 :Begin;
    row @4 :RowChange;
    sequence @5 :SequenceChange;
    statement @6 :Text;    # a statement that changed the schema, as its user wrote it
    piece @7 :Piece;
  }
}

struct Begin {
  transaction @0 :Data;    # 16 bytes
  count @1 :UInt32;        # payloads of the transaction, those of its begin included
  actor @2 :Text;
  purpose @3 :Text;
  metadata @4 :List(Entry);
  layouts @5 :List(Layout);
}

struct Entry {
  name @0 :Text;
  value @1 :Text;
}

struct Layout {
  # A table at the time of a change.
  table @0 :Text;
  columns @1 :List(Text);  # ordinary ones, in their declared order
  key @2 :List(Text);      # columns of the primary key
  rowid @3 :Bool;          # it has rowids
}

struct RowChange {
  layout @0 :UInt32;       # index into the transaction's layouts
  operation @1 :Operation;
  hasRowidBefore @2 :Bool;
  hasRowidAfter @3 :Bool;
  rowidBefore @4 :Int64;
  rowidAfter @5 :Int64;
  before @6 :List(Value);  # of an update and a delete
  after @7 :List(Value);   # of an insert and an update
}

enum Operation {
  unknown @0;
  insert @1;
  update @2;
  delete @3;
}

struct Value {
  union {
    null @0 :Void;
    integer @1 :Int64;
    real @2 :Float64;
    text @3 :Text;
    rawText @4 :Data;      # text whose bytes aren't UTF-8
    blob @5 :Data;
  }
}

struct SequenceChange {
  table @0 :Text;
  value @1 :Int64;
  gone @2 :Bool;           # there is no value any more
}

struct Piece {
  # A part of a message that is too large for one payload: the whole is the data of its pieces in a row.
  data @0 :Data;
  last @1 :Bool;
}
