"""The verifier that travels with an export: it works on a machine without VerityDB.

Its modules are parts of one file, `verify.py`, that `assemble` makes of them; each needs the standard library alone,
and `cryptography` for signatures and seals. The product imports some of them as well, so that what an export holds and
what its verifier expects can't part.

- `faults`     what is wrong, and in which file
- `canonical`  JSON in its one canonical form (RFC 8785)
- `trees`      Merkle trees (RFC 6962), leaf ranges
- `notes`      signed notes, checkpoints, cosignatures, policies (C2SP)
- `records`    sealed records, and the entries in them
- `fhir`       entries as FHIR AuditEvents
- `disclosures` entries as an accounting of disclosures
- `archive`     an export in one file, read strictly
- `bundle`     what an export must hold
- `main`       the command

Rules
- No part imports anything of VerityDB but other parts.
- No name of a part stands in another one as well: they share one file.
"""
