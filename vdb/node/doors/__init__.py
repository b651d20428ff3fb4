"""How calls come in: connections, and the methods of the interface onto the gate."""
