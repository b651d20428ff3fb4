"""Evidence of what a group has committed: heads, proofs, and audits of what is stored."""
