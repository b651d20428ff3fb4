"""The primary's side of a request: from the gate, sealed, into a prepare."""
