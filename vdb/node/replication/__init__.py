"""A group on this node: the replica's shell, its storage, and how it mends and catches up."""
