@0xe5c83b0f6a1d7942;
# Checkpoints: blocks of rows of the replicated state.

struct RowBlock {
  # Rows of one table, sorted by key. Rows of a table with a fixed width are packed back to back, so that a
  # million rows are read without touching each in Cap'n Proto.
  table @0 :UInt16;
  count @1 :UInt32;
  keySizes @2 :Data;    # big-endian u32 each; empty: all keys have keySize
  keySize @3 :UInt32;
  valueSizes @4 :Data;  # big-endian u32 each; empty: all values have valueSize
  valueSize @5 :UInt32;
  keys @6 :Data;
  values @7 :Data;
  removed @8 :Data;     # keys that were deleted since the checkpoint before, packed as keySizes would say: u32 size, key
}
