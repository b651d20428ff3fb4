"""Planted bugs of rotating keys: root keys taken away too early, keys that change, tenants that are left out."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from sim.bugs.patch import Bug, Replacement

_ROTATING = {
    "rotating": True, "rotations": 3, "erasing": False, "governance": False, "sql": False, "events": False,
    "projection": False, "requests": 120, "clients": 2, "tenants": 3, "nodes": 1, "spares": 0, "regions": 1,
    "beyond_repair": False, "disturbances": ["crash"] * 3,
}  # fmt: skip
"""Root keys are exchanged on a machine that crashes, beside a few clients."""


def settled_before_the_checkpoint() -> tuple[Replacement, ...]:
    from vdb.node.keys.rotating import KeyRotation

    def make(status: Any) -> Any:
        def early(self: Any, group: str) -> Any:
            found = status(self, group)
            return evolve(found, settled=not found.behind)

        return early

    async def stay(*_what: Any) -> None:
        """The group goes on as it does."""

    return (Replacement(KeyRotation, "status", make), Replacement(KeyRotation, "_settle", lambda _settle: stay))


def another_key_under_the_new_root() -> tuple[Replacement, ...]:
    """A key that is wrapped anew is turned around on the way."""
    from vdb.crypto.keyring import Keyring

    def make(_rewrap: Any) -> Any:
        def rewrap(self: Any, row: Any, root_key_id: bytes) -> Any:
            root = self.root(root_key_id)
            wrapped = root.wrap(self.key(row.dek_id)[::-1], self._context_of(row))
            return evolve(row, kek_id=root.key_id, kek_version=row.kek_version + 1, wrapped=wrapped)

        return rewrap

    return (Replacement(Keyring, "rewrap", make),)


def old_keys_seal_on() -> tuple[Replacement, ...]:
    """The primary goes on with the keys that it has, whatever period it is."""
    from vdb.node.preparing import sealer

    return (Replacement(sealer, "PERIODIC_SCOPES", lambda _scopes: ()),)


def a_tenant_is_left_out() -> tuple[Replacement, ...]:
    from vdb.node.keys.rotating import KeyRotation

    def make(behind: Any) -> Any:
        return lambda self, group: [tenant for tenant in behind(self, group) if tenant != 3]

    return (Replacement(KeyRotation, "_behind", make),)


def wrapped_anew_in_memory_alone() -> tuple[Replacement, ...]:
    """The key store's rows stay what they were; the keyring is told."""
    from vdb.kernel.draft import Draft
    from vdb.kernel.tables import KEYS

    def make(put: Any) -> Any:
        def keep(self: Any, table: Any, key: bytes, value: bytes) -> None:
            if table != KEYS or key not in self.rows[KEYS]:
                put(self, table, key, value)

        return keep

    return (Replacement(Draft, "put", make),)


def back_to_the_first_root_key() -> tuple[Replacement, ...]:
    """Each rotation leads to the root key that the group was founded with."""
    from vdb.node.keys import key_preparer

    def make(command_of: Any) -> Any:
        def founding(preparer: Any, batch: Any, request: Any) -> Any:
            command = command_of(preparer, batch, request)
            if getattr(command, "begins", False):
                return evolve(command, root_key_id=preparer.keyring.roots.founding.key_id)
            return command

        return founding

    from vdb.node.preparing import preparer as preparing

    return (Replacement(key_preparer, "key_command", make), Replacement(preparing, "key_command", make))


def what_is_asked_again_happens_again() -> tuple[Replacement, ...]:
    """The log isn't told the id of a rotation."""
    from vdb.node.keys import key_preparer
    from vdb.node.preparing import preparer as preparing

    def make(command_of: Any) -> Any:
        def nameless(preparer: Any, batch: Any, request: Any) -> Any:
            command = command_of(preparer, batch, request)
            return evolve(command, rotation_id=b"") if getattr(command, "rotation_id", b"") else command

        return nameless

    return (Replacement(key_preparer, "key_command", make), Replacement(preparing, "key_command", make))


def who_lacks_the_root_key_goes_on() -> tuple[Replacement, ...]:
    from vdb.node.replication import executor, proposer

    return tuple(
        Replacement(module, "missing_root_key", lambda _missing: lambda _effects, _keyring: b"")
        for module in (executor, proposer)
    )


ROTATION_BUGS: tuple[Bug, ...] = (
    Bug(id="k1", what="a rotation is told as done before a checkpoint has it", expected=("I40",),
        replacements=settled_before_the_checkpoint, overrides=_ROTATING),
    Bug(id="k2", what="a key that is wrapped anew is another one", expected=("K3", "assertion", "error"),
        replacements=another_key_under_the_new_root, overrides=_ROTATING),
    Bug(id="k3", what="keys of a period that has ended seal on", expected=("K2", "assertion"),
        replacements=old_keys_seal_on, overrides=_ROTATING),
    Bug(id="k4", what="a rotation leaves a tenant out", expected=("I38", "I40"),
        replacements=a_tenant_is_left_out, overrides=_ROTATING),
    Bug(id="k5", what="keys are wrapped anew in memory alone", expected=("I38", "I40"),
        replacements=wrapped_anew_in_memory_alone, overrides=_ROTATING),
    Bug(id="k6", what="a rotation leads back to the first root key", expected=("I38", "I36"),
        replacements=back_to_the_first_root_key, overrides=_ROTATING),
    Bug(id="k7", what="an attempt that is repeated begins another rotation", expected=("K4",),
        replacements=what_is_asked_again_happens_again,
        overrides={**_ROTATING, "disturbances": ["crash", "connection_cut"] * 8, "requests": 240}),
    Bug(id="k8", what="a node that lacks the new root key goes on without", expected=("I40",),
        replacements=who_lacks_the_root_key_goes_on,
        overrides={**_ROTATING, "nodes": 3, "harmed": [], "dead_at_the_end": False}),
)  # fmt: skip
