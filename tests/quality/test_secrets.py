"""Keys stay out of what is printed: of representations, of log lines, of messages.

By reading the code: a field that holds a secret isn't part of its value's representation, and neither log lines nor
messages are made of names that hold one. By trying: whatever the key, nothing that says something of it shows it.
"""

from __future__ import annotations

import ast
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import vdb
from vdb.crypto.keyring import Keyring
from vdb.crypto.record import RecordKey
from vdb.crypto.root import RootKey, RootKeys, RootRing, parse_root_key
from vdb.crypto.signing import SigningKey
from vdb.errors import ConfigError, VerityError
from vdb.kernel.command import KeyScope
from vdb.node.config import NodeConfig
from vdb.types import DataClass, GroupId, Region, TenantId

HOME = Path(vdb.__file__).parent
SECRET_FIELDS = ("key", "secret", "seed", "wrapped", "wrapped_secret", "root_keys", "password", "environ")
SECRET_NAMES = ("secret", "seed", "password", "plaintext", "root_keys", "tenant_key", "wrapped")
NOT_SECRET = {
    # A digest, a place in a file, or a name by which something is found.
    ("vdb/storage", "key"), ("vdb/node/consumers", "key"), ("vdb/kernel", "key"), ("vdb/sql", "key"),
    ("vdb/projections", "key"), ("vdb/consumers.py", "key"), ("vdb/wire", "key"),
    # The path of a file.
    ("vdb/world/network.py", "key"), ("vdb/cli/config_file.py", "key"), ("vdb/world/client_tls.py", "key"),
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(HOME.rglob("*.py")):
        yield f"vdb/{path.relative_to(HOME)}", ast.parse(path.read_text())


def test_fields_that_hold_secrets_are_shown_nowhere() -> None:
    wrong = []
    for name, module in modules():
        for one in ast.walk(module):
            if not isinstance(one, ast.ClassDef) or not any(
                "frozen" in ast.dump(d) or "define" in ast.dump(d) for d in one.decorator_list
            ):
                continue
            for line in one.body:
                if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                    continue
                field = line.target.id
                if field not in SECRET_FIELDS or _is_known(name, field) or "bytes" not in ast.unparse(line.annotation):
                    continue
                if line.value is None or "repr=False" not in ast.unparse(line.value):
                    wrong.append(f"{name}:{line.lineno} {one.name}.{field}")
    assert not wrong, f"expected field(repr=False) of what holds a secret: {wrong}"


def _is_known(module: str, field: str) -> bool:
    return any(module.startswith(place) and field == name for place, name in NOT_SECRET)


def test_log_lines_and_messages_are_made_of_no_secret() -> None:
    wrong = []
    for name, module in modules():
        for one in ast.walk(module):
            for value in _said(one):
                for part in ast.walk(value):
                    if isinstance(part, ast.Name) and part.id in SECRET_NAMES and name != "vdb/verifier/__main__.py":
                        wrong.append(f"{name}:{value.lineno} {part.id}")
    assert not wrong, f"a name that may hold a secret stands in a message or a log line: {wrong}"


def _said(node: ast.AST) -> list[ast.expr]:
    """What a node of the code logs, prints, or has an error say."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return [argument for argument in node.exc.args if isinstance(argument, ast.JoinedStr)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id in ("log", "logger"):
            return [*node.args, *(keyword.value for keyword in node.keywords)]
    return []


GROUP = GroupId("eu-west-1")
keys = st.binary(min_size=32, max_size=32).filter(lambda key: len(set(key)) > 16)


class Counted:
    """Draws that differ from each other."""

    def __init__(self, first: bytes) -> None:
        self.drawn: list[bytes] = []
        self._first = first

    def random_bytes(self, size: int) -> bytes:
        self.drawn.append(bytes(a ^ (len(self.drawn) + 1) for a in self._first)[:size].ljust(size, b"."))
        return self.drawn[-1]

    def below(self, bound: int) -> int:
        return 0 * bound


def shown(text: str, *secrets: bytes) -> list[bytes]:
    """Secrets that a text shows in some form."""
    return [
        secret
        for secret in secrets
        if any(
            form in text
            for form in (secret.hex(), b64encode(secret).decode(), repr(secret)[2:-1], secret.decode("latin-1"))
        )
    ]


@given(keys, keys)
def test_nothing_that_is_printed_of_keys_shows_one(one: bytes, other: bytes) -> None:
    given_keys, entropy = RootKeys(one, other, [other]), Counted(one)
    ring = given_keys.ring(GROUP)
    keyring = Keyring(group=GROUP, root=ring)
    rows = []
    for scope, name in ((KeyScope.TENANT, ""), (KeyScope.SUBJECT, "jane"), (KeyScope.STREAM, "notes")):
        row = keyring.make(TenantId(1), scope, name, DataClass.PHI, entropy)
        keyring.add(row)
        rows.append(row)
    config = NodeConfig(region=Region("eu-west-1"), root_keys=given_keys)
    values = (
        given_keys, ring, ring.current, keyring, RootKey(one), SigningKey(one), RecordKey(one), config, *rows,
        evolve(config, address=None),
    )  # fmt: skip
    secrets = [one, other, *(drawn for drawn in entropy.drawn if len(drawn) == 32)]
    for value in values:
        assert not shown(repr(value) + str(value), *secrets)
    errors = []
    for fail in (
        lambda: Keyring(group=GROUP, root=RootKey(other)).add(rows[0]),
        lambda: keyring.root(b"?" * 16),
        lambda: keyring.add(evolve(rows[0], wrapped=bytes(40))),
        lambda: keyring.make(TenantId(2), KeyScope.STREAM, "notes", DataClass.PHI, entropy),
        lambda: RootKeys(one, region="eu-west-2").ring(GROUP),
        lambda: parse_root_key(b64encode(one).decode() + "x"),
        lambda: parse_root_key(one.hex() + "!"),
    ):
        with pytest.raises(VerityError) as caught:
            fail()
        errors.append(caught.value)
        assert caught.value.__context__ is None or not shown(str(caught.value.__context__), *secrets)
    for error in errors:
        assert not shown(f"{error!r} {error}", *secrets)


@given(st.text(max_size=60))
def test_a_text_that_is_no_key_is_never_quoted(text: str) -> None:
    """It may be one with a typing error."""
    said = ""
    try:
        parse_root_key(text)
    except ConfigError as error:
        said = str(error)
    assert len(text.strip()) < 8 or text.strip() not in said


def test_the_rings_of_one_node_name_their_keys_alone() -> None:
    ring = RootRing(RootKey(b"1" * 32), [RootKey(b"2" * 32)])
    assert repr(ring) == f"RootRing({ring.ids[0].hex()}, {ring.ids[1].hex()})"
