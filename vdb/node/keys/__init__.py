"""Keys of a node's groups: their rotation, and the keys of its encrypted files."""
