@0xd1f4c0a7b2e96e35;
# What the RPC tests call: every shape of answer that the public interface doesn't have.

interface Echo {
  echo @0 (text :Text, data :Data, items :List(Data)) -> (text :Text, data :Data, items :List(Data));
  empty @1 () -> ();
  fail @2 (how :Text) -> ();
  wait @3 (label :Text) -> (label :Text);       # answers when the test says so
  child @4 (label :Text) -> (before :Text, child :Echo);
  label @5 () -> (label :Text);
  repeat @6 (times :UInt32) -> (text :Text);
}

interface Other {
  other @0 () -> ();
}
