"""Cap'n Proto RPC, two-party: the protocol as a state machine without IO, and thin drivers over byte streams."""
