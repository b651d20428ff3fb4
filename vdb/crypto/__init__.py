"""Sealed records and the keys that seal them. The only package that imports `cryptography`.

    root key (per group)  ->  tenant key (per tenant and group)  ->  data key (per subject, stream or projection)

- `record`   what lies in the log: seal, open, leaf hash and chain
- `keyring`  a group's keys: finds them by HMAC of their name, makes, wraps and unwraps them
- `root`     the operator's keys
- `kdf`, `keywrap`  the two primitives that everything above is made of

Nothing here is random or does IO: salts and keys come from the caller's `Entropy`. No value of this package shows
a key, a name or a plaintext in its `repr`, and no error message holds one.
"""
