"""Planted bugs: proof that the simulator finds what it should. Each is a patch that is applied for one run."""
