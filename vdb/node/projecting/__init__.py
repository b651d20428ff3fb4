"""The node's projections: where their events come from, how far they are, and the keys of their files."""
