"""Under which key an encrypted file of rows lies: a name has one key after another, and each node follows by itself.

A power loss leaves a file under the key that it was made with, which may be an earlier one than the name has by now.
A file that was set aside, or never finished, may be under any of them. Under none: the file is damaged.
"""

from __future__ import annotations

from vdb.crypto.keyring import Keyring
from vdb.errors import WrongKey
from vdb.kernel.command import KeyScope
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.types import TenantId


def file_keys(keyring: Keyring, tenant: int, name: str) -> list[bytes]:
    """All keys that the log has put for a tenant's file, the newest first; none of a file that never had one."""
    owner = TenantId(tenant)
    if keyring.row(owner, KeyScope.TENANT) is None:
        return []
    _, periods = keyring.newest_row(owner, KeyScope.PROJECTION, name)
    rows = keyring.rows(owner, KeyScope.PROJECTION, name, periods)
    return [keyring.key(row.dek_id) for row in reversed(rows)]


def key_of_file(keys: list[bytes], file: str) -> bytes:
    """The newest of these keys that opens the file. WrongKey when none does, DatabaseDamaged when it can't be read."""
    for key in keys:
        try:
            close_sqlcipher(open_sqlcipher(file, key))
        except WrongKey:
            continue
        return key
    raise WrongKey(f"{file}: it opens under none of the {len(keys)} keys that the log has put for it")
