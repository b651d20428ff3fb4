"""What can be proven to somebody who has no server: Merkle trees, signed checkpoints, proofs, in standard formats.

- `merkle`       trees of RFC 6962 (section 2.1; the same in RFC 9162): roots, inclusion and consistency
- `tiles`        how a tree's hashes lie in files (C2SP tlog-tiles)
- `note`         signed notes (C2SP signed-note), with keys as `vkey` lines
- `checkpoint`   what a log signs of its tree (C2SP tlog-checkpoint)
- `cosignature`  what a witness signs of a checkpoint, with a time (C2SP tlog-cosignature)
- `proof`        a proof in one file that verifies offline (C2SP tlog-proof)
- `trust`        whose signatures count (C2SP tlog-policy)
- `witness`      what a witness is asked and answers (C2SP tlog-witness)

Pure: bytes and values in, bytes and values out. Nothing here is of our own invention, so that the verifiers and the
test vectors of others apply.
"""
