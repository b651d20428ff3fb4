"""The keyring of a group: finds, makes, wraps and unwraps the keys of its tenants.

Derivations (`vdb.crypto.kdf`), where `place` = group || 0x00 || tenant, 8 bytes:

    row context   = place || dek_id || scope || data class || lookup || subject token || period, u16, unless it is 0
    tenant key    wrapped by the root key, bound to the row context
    other keys    wrapped under derive(tenant key, "veritydb/v1/wrap/key", row context)
    secret        of a subject's token, wrapped under derive(tenant key, "veritydb/v1/wrap/secret", row context)
    subject token = HMAC(secret, subject)
    lookup        = HMAC(derive(tenant key, "veritydb/v1/lookup", place), scope || 4 zero bytes || name)

Rules
- A wrapped key opens only in the row, tenant and group that it was made for: a row copied elsewhere, or with a field
  changed, doesn't unwrap.
- Names never stand in a row. A lookup tells nothing without the tenant key; two tenants' lookups of a name differ.
- A subject's token can't be recomputed once its row is destroyed: the secret goes with the key. The row stays, so that
  what the key sealed is known for what it is.
- Unwrapped keys are kept for speed alone, in a bounded cache. Rows are kept packed (`vdb.crypto.key_index`).
- `make` adds nothing: a row counts once its op is proposed, and the caller then adds it.
- A name has a key in each period in which something was sealed for it, all with the same lookup. A subject's token is
  the same in all of them, too: its secret goes along, wrapped for the new row.
- Which root key wraps a new tenant key is the log's to say, once a rotation has begun (`vdb.kernel.key_rotation`).
"""

from __future__ import annotations

from attrs import evolve

from vdb.crypto.cache import BoundedCache
from vdb.crypto.kdf import KEY_SIZE, derive, keyed_hash
from vdb.crypto.key_index import NO_LOOKUP, KeyIndex
from vdb.crypto.keywrap import unwrap_key, wrap_key
from vdb.crypto.record import DEK_ID_SIZE, NO_SUBJECT, RecordKey
from vdb.crypto.root import RootKey, RootRing
from vdb.errors import KeyDestroyed, KeyUnavailable, WrongKey
from vdb.kernel.command import DESTROYED_KEY, KeyRow, KeyScope
from vdb.ports import Entropy
from vdb.types import DataClass, GroupId, TenantId

CACHED_KEYS_MAX = 16_384
"""Unwrapped keys, and found rows, that a keyring holds at once."""

KEK_VERSION = 1
UNNAMED_SCOPES = (KeyScope.TENANT, KeyScope.CATALOGUE)
"""A tenant has one key of each of these; its row needs no name and its lookup is zeros."""


FIRST_PERIOD = 0
"""Number of the period that a key is for, until another one is started."""


class Keyring:
    """The keys of one group. Not shared between threads."""

    def __init__(self, *, group: GroupId, root: RootKey | RootRing, cached_keys_max: int = CACHED_KEYS_MAX) -> None:
        self.group = group
        self.roots = root if isinstance(root, RootRing) else RootRing(root)
        self._index = KeyIndex()
        self._keys: BoundedCache[bytes, bytes] = BoundedCache(cached_keys_max)
        self._lookup_keys: BoundedCache[TenantId, bytes] = BoundedCache(cached_keys_max)
        self._record_keys: BoundedCache[bytes, RecordKey] = BoundedCache(cached_keys_max)
        self._opened_before: BoundedCache[bytes, bool] = BoundedCache(cached_keys_max)
        # By scope, in a list: a member of an enum hashes in Python, and is looked up several times for each publish.
        self._found: list[BoundedCache[tuple[TenantId, str, int], KeyRow]] = [
            BoundedCache(cached_keys_max) for _ in KeyScope
        ]
        self._lookups: list[BoundedCache[tuple[TenantId, str], bytes]] = [
            BoundedCache(cached_keys_max) for _ in KeyScope
        ]
        self._stream_lookups = self._lookups[KeyScope.STREAM]
        self.destroyed = 0
        """How many keys were destroyed here: whoever keeps what was opened forgets it when this has changed."""

    def add(self, row: KeyRow) -> None:
        """Hold a row of the key store. Adding it twice is harmless; WrongKey when a tenant's key doesn't unwrap."""
        if row.scope is KeyScope.TENANT:
            # A row that was wrapped anew holds the same key: what was derived from it still holds.
            self._keys.put(row.dek_id, self._unwrap_tenant_key(row))
            self._found[KeyScope.TENANT].forget((row.tenant, "", FIRST_PERIOD))
        if row.is_destroyed:
            self._keys.forget(row.dek_id)
            self._record_keys.forget(row.dek_id)
        if self._index.add(row) or row.is_destroyed:
            self._forget_derived(row)

    def destroy(self, dek_id: bytes) -> None:
        """The key was destroyed: from now on its row says no more than that there was one."""
        row = self._index.get(dek_id)
        if row is not None and not row.is_destroyed:
            self.destroyed += 1
            self._opened_before.put(dek_id, self._opens(dek_id))
            self.add(evolve(row, wrapped=DESTROYED_KEY, wrapped_secret=bytes(len(row.wrapped_secret))))

    def opened_before(self, dek_id: bytes) -> bool | None:
        """Whether a key that was destroyed could be unwrapped just before; None: it was destroyed in an earlier life of
        this node, or so long ago that nobody remembers."""
        return self._opened_before.get(dek_id)

    def _opens(self, dek_id: bytes) -> bool:
        try:
            self.key(dek_id)
        except (KeyUnavailable, WrongKey):
            return False
        return True

    def is_destroyed(self, dek_id: bytes) -> bool:
        """Whether there was a key that was destroyed. Whoever finds `key` unavailable asks."""
        row = self._index.get(dek_id)
        return row is not None and row.is_destroyed

    def give(self, roots: RootRing) -> None:
        """The node was given these root keys now. It keeps those that it had: what they wrapped may come yet."""
        self.roots = self.roots.joined_by(roots)

    def remove(self, row: KeyRow) -> None:
        """Forget a row that was added for an op that isn't in the log any more."""
        self._index.remove(row)
        self._keys.forget(row.dek_id)
        self._record_keys.forget(row.dek_id)
        self._forget_derived(row)

    def _forget_derived(self, row: KeyRow) -> None:
        """Another row takes this one's place, or none does: what was found by it, or derived from it, is void."""
        for found in self._found:
            found.clear()
        if row.scope is KeyScope.TENANT:
            self._lookup_keys.forget(row.tenant)
            for lookups in self._lookups:
                lookups.clear()

    def row(self, tenant: TenantId, scope: KeyScope, name: str = "", period: int = FIRST_PERIOD) -> KeyRow | None:
        """The row of this scope, name and period, or None. `name` is a stream's, a subject's or a projection's."""
        cached = self._found[scope].get((tenant, name, period))
        if cached is not None:
            return cached
        if scope not in UNNAMED_SCOPES and self._index.find(tenant, KeyScope.TENANT, NO_LOOKUP) is None:
            return None
        found = self._index.find(tenant, scope, self.lookup(tenant, scope, name), period)
        if found is not None:
            self._found[scope].put((tenant, name, period), found)
        return found

    def rows(self, tenant: TenantId, scope: KeyScope, name: str, last_period: int) -> list[KeyRow]:
        """The rows of all periods up to this one in which the name had a key, by period."""
        found = [self.row(tenant, scope, name, period) for period in range(last_period + 1)]
        return [row for row in found if row is not None]

    def file_rows(self, tenant: TenantId) -> list[KeyRow]:
        """The rows of the keys of a tenant's files of rows, destroyed ones too, in the order of their ids."""
        return self._index.files(tenant)

    def newest_row(self, tenant: TenantId, scope: KeyScope, name: str) -> tuple[KeyRow | None, int]:
        """The row of the last period in which the name has one, and the period that the next one would have."""
        newest, period = None, FIRST_PERIOD
        while (row := self.row(tenant, scope, name, period)) is not None:
            newest, period = row, period + 1
        return newest, period

    def held(self, dek_id: bytes) -> KeyRow | None:
        """The row of this id, or None."""
        return self._index.get(dek_id)

    def tenant_rows(self) -> list[KeyRow]:
        """The rows of tenants' keys, by tenant."""
        return self._index.tenants()

    def make(
        self,
        tenant: TenantId,
        scope: KeyScope,
        name: str,
        data_class: DataClass,
        entropy: Entropy,
        *,
        period: int = FIRST_PERIOD,
        root_key_id: bytes | None = None,
    ) -> KeyRow:
        """A row with a new random key; it isn't added. KeyUnavailable when the tenant has no key: make that first.

        `root_key_id`: what wraps a tenant's key, 16 bytes; None: the founding one. WrongKey when it wasn't.
        """
        root = self.roots.founding if root_key_id is None else self.root(root_key_id)
        kek_id = root.key_id if scope is KeyScope.TENANT else self._tenant_row(tenant).dek_id
        lookup = self.lookup(tenant, scope, name)
        dek_id = entropy.random_bytes(DEK_ID_SIZE)
        key = entropy.random_bytes(KEY_SIZE)
        secret = self._secret(tenant, name, period, entropy) if scope is KeyScope.SUBJECT else None
        token = NO_SUBJECT if secret is None else keyed_hash(secret, _text(name))
        context = self._row_context(tenant, dek_id, scope, data_class, lookup, token, period)
        if scope is KeyScope.TENANT:
            wrapped, wrapped_secret = root.wrap(key, context), b""
        else:
            tenant_key = self.key(kek_id)
            wrapped = wrap_key(_key_wrapper(tenant_key, context), key)
            wrapped_secret = b"" if secret is None else wrap_key(_secret_wrapper(tenant_key, context), secret)
        return KeyRow(
            dek_id=dek_id,
            tenant=tenant,
            scope=scope,
            data_class=data_class,
            lookup=lookup,
            subject_token=token,
            kek_id=kek_id,
            kek_version=KEK_VERSION,
            wrapped=wrapped,
            wrapped_secret=wrapped_secret,
            period=period,
        )

    def following(self, row: KeyRow, entropy: Entropy) -> KeyRow:
        """A row with a new random key that follows this one, under the same name; it isn't added."""
        assert row.scope not in (KeyScope.TENANT, KeyScope.SUBJECT)
        dek_id, key, period = entropy.random_bytes(DEK_ID_SIZE), entropy.random_bytes(KEY_SIZE), row.period + 1
        empty = evolve(row, dek_id=dek_id, period=period, kek_version=KEK_VERSION)
        wrapped = wrap_key(_key_wrapper(self.key(row.kek_id), self._context_of(empty)), key)
        return evolve(empty, wrapped=wrapped)

    def rewrap(self, row: KeyRow, root_key_id: bytes) -> KeyRow:
        """A tenant's key under another root key: the same key. WrongKey when either root key wasn't given."""
        assert row.scope is KeyScope.TENANT
        root = self.root(root_key_id)
        wrapped = root.wrap(self._unwrap_tenant_key(row), self._context_of(row))
        return evolve(row, kek_id=root.key_id, kek_version=row.kek_version + 1, wrapped=wrapped)

    def root(self, key_id: bytes) -> RootKey:
        """A root key by its id, 16 bytes. WrongKey when it wasn't given."""
        root = self.roots.find(key_id)
        if root is None:
            raise WrongKey(f"group {self.group} wants root key {key_id.hex()}, {self._given()}")
        return root

    def key(self, dek_id: bytes) -> bytes:
        """The unwrapped 32-byte key. KeyUnavailable when the key store has no such row, or one that doesn't unwrap."""
        cached = self._keys.get(dek_id)
        if cached is not None:
            return cached
        row = self._index.get(dek_id)
        if row is None:
            raise KeyUnavailable(f"key {dek_id.hex()} isn't in the key store of group {self.group}")
        key = self._unwrap_tenant_key(row) if row.scope is KeyScope.TENANT else self._unwrap_key(row)
        self._keys.put(dek_id, key)
        return key

    def record_key(self, dek_id: bytes) -> RecordKey:
        """`key`, ready to seal records."""
        cached = self._record_keys.get(dek_id)
        if cached is None:
            cached = RecordKey(self.key(dek_id))
            self._record_keys.put(dek_id, cached)
        return cached

    def lookup(self, tenant: TenantId, scope: KeyScope, name: str) -> bytes:
        """32 bytes by which a name is found without standing anywhere; zeros for a scope without names.

        KeyUnavailable when the tenant has no key yet.
        """
        if scope in UNNAMED_SCOPES:
            return NO_LOOKUP
        cached = self._lookups[scope].get((tenant, name))
        if cached is not None:
            return cached
        key = self._lookup_keys.get(tenant)
        if key is None:
            key = derive(self.key(self._tenant_row(tenant).dek_id), b"veritydb/v1/lookup", self._place(tenant))
            self._lookup_keys.put(tenant, key)
        found = keyed_hash(key, bytes((scope,)) + bytes(4) + _text(name))
        self._lookups[scope].put((tenant, name), found)
        return found

    def stream_lookup(self, tenant: TenantId, name: str) -> bytes | None:
        """`lookup` of a stream's name; None while the tenant has no key, and so no stream."""
        cached = self._stream_lookups.get((tenant, name))
        if cached is None and self.row(tenant, KeyScope.TENANT) is not None:
            return self.lookup(tenant, KeyScope.STREAM, name)
        return cached

    def subject_lookup(self, dek_id: bytes) -> bytes | None:
        """The lookup of the subject whose key this is; None for a key that is no subject's."""
        row = self._index.get(dek_id)
        return row.lookup if row is not None and row.scope is KeyScope.SUBJECT else None

    def subject_token(self, row: KeyRow, subject: str) -> bytes:
        """The token that `subject` has under this row's secret: it equals the row's when the row is the subject's."""
        return keyed_hash(self._unwrap_secret(row), _text(subject))

    def _secret(self, tenant: TenantId, subject: str, period: int, entropy: Entropy) -> bytes:
        """The secret of a subject's token: that of the last period in which it had a key, or a new one."""
        for earlier in range(period - 1, -1, -1):
            row = self.row(tenant, KeyScope.SUBJECT, subject, earlier)
            if row is not None:
                return self._unwrap_secret(row)
        return entropy.random_bytes(KEY_SIZE)

    def _unwrap_secret(self, row: KeyRow) -> bytes:
        assert row.scope is KeyScope.SUBJECT
        secret = unwrap_key(_secret_wrapper(self.key(row.kek_id), self._context_of(row)), row.wrapped_secret)
        if secret is None:
            raise KeyUnavailable(f"the subject secret of key {row.dek_id.hex()} doesn't unwrap: its row was changed")
        return secret

    def _tenant_row(self, tenant: TenantId) -> KeyRow:
        row = self.row(tenant, KeyScope.TENANT)
        if row is None:
            raise KeyUnavailable(f"tenant {tenant} has no key in group {self.group}")
        return row

    def _unwrap_tenant_key(self, row: KeyRow) -> bytes:
        root = self.roots.find(row.kek_id)
        key = None if root is None else root.unwrap(row.wrapped, self._context_of(row))
        if key is None:
            raise WrongKey(
                f"the key of tenant {row.tenant} in group {self.group} doesn't open: it was wrapped by root key "
                f"{row.kek_id.hex()}, {self._given()}"
            )
        return key

    def _given(self) -> str:
        return f"this node was given {' and '.join(key_id.hex() for key_id in self.roots.ids)}"

    def _unwrap_key(self, row: KeyRow) -> bytes:
        if row.is_destroyed:
            raise KeyDestroyed(f"key {row.dek_id.hex()} was destroyed: what it sealed can't be opened by anybody")
        key = unwrap_key(_key_wrapper(self.key(row.kek_id), self._context_of(row)), row.wrapped)
        if key is None:
            raise KeyUnavailable(f"key {row.dek_id.hex()} doesn't unwrap: its row was changed or belongs elsewhere")
        return key

    def _context_of(self, row: KeyRow) -> bytes:
        return self._row_context(
            row.tenant, row.dek_id, row.scope, row.data_class, row.lookup, row.subject_token, row.period
        )

    def _row_context(
        self,
        tenant: TenantId,
        dek_id: bytes,
        scope: KeyScope,
        data_class: DataClass,
        lookup: bytes,
        token: bytes,
        period: int,
    ) -> bytes:
        last = period.to_bytes(2, "big") if period else b""
        return b"".join((self._place(tenant), dek_id, bytes((scope, data_class)), lookup, token, last))

    def _place(self, tenant: TenantId) -> bytes:
        return self.group.encode() + b"\0" + tenant.to_bytes(8, "big")

    def __repr__(self) -> str:
        return f"Keyring(group={self.group!r}, {len(self._index)} rows)"


def _text(name: str) -> bytes:
    # 'surrogatepass': an error of this encoding would carry the name.
    return name.encode("utf-8", "surrogatepass")


def _key_wrapper(tenant_key: bytes, context: bytes) -> bytes:
    return derive(tenant_key, b"veritydb/v1/wrap/key", context)


def _secret_wrapper(tenant_key: bytes, context: bytes) -> bytes:
    return derive(tenant_key, b"veritydb/v1/wrap/secret", context)
