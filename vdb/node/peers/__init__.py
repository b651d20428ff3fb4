"""The other nodes: who they are, the connections to them, and who belongs to which group."""
