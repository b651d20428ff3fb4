"""Checkers: oracles outside the node, with bookkeeping of their own. Invariants are those of VSR.md section 6."""
