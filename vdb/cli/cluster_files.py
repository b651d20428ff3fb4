"""The files of a cluster: a configuration for each node, certificates, and a root key to throw away.

    DIR/n0.toml ...          configurations; `vdb start --config DIR/n0.toml`
    DIR/root.key             the root key, the same for all nodes
    DIR/root-REGION.key      of several regions, each its own and the one of the global group, for nodes that hold both
    DIR/root-REGION-only.key that of the region alone, for nodes that hold nothing else
    DIR/tls/ca.pem, ca.key   the authority; its key signs certificates of further nodes, and no node needs it
    DIR/tls/n0.pem, n0.key   a node's certificate and key
    DIR/tls/client.pem, .key of clients and of the command line

Files that are there are never written over, but a configuration on demand. Private files have mode 0600, directories
that are made 0700.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen

from vdb.crypto.certificates import SERIAL_SIZE, Issued, issue, make_authority
from vdb.errors import ConfigError
from vdb.node.peers.hello import node_name, region_name
from vdb.world.address import join_address, split_address
from vdb.world.entropy import RealEntropy
from vdb.world.keys import generate_root_key

VALID_FOR = timedelta(days=825)
"""Of all certificates made here. They are for development, or until there are better ones."""


@frozen(kw_only=True)
class Place:
    """A node of a cluster, and where it runs."""

    number: int
    host: str
    port: int
    peer_port: int
    peer_host: str | None = None
    """None: the same host."""
    region: str = ""
    """Of a cluster of several; empty: the cluster's only one."""
    holds_global: bool = True

    @classmethod
    def at(cls, number: int, address: str, peer_address: str, *, region: str = "", holds_global: bool = True) -> Place:
        """From its two addresses, `host:port`."""
        (host, port), (peer_host, peer_port) = split_address(address), split_address(peer_address)
        return cls(
            number=number,
            host=host,
            port=port,
            peer_host=peer_host,
            peer_port=peer_port,
            region=region,
            holds_global=holds_global,
        )

    @property
    def name(self) -> str:
        return f"n{self.number}"

    @property
    def address(self) -> str:
        return join_address(self.host, self.port)

    @property
    def peer_address(self) -> str:
        return join_address(self.peer_host or self.host, self.peer_port)


@frozen(kw_only=True)
class ClusterFiles:
    """Writes below `directory`. ConfigError for a file that is there already, or that can't be read or written."""

    directory: Path
    cluster: bytes
    region: str
    tls: bool
    extra: str = ""
    """Added to each configuration, such as a [limits] table."""

    def write_all(self, places: Sequence[Place]) -> list[Path]:
        """All files of a new cluster; the configurations, in the order of the places."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in [*map(self.config_path, places), *map(self._key_file, places)]:
            if path.exists():
                raise ConfigError(f"{path} is there already: expected a directory without a cluster's files")
        if self.tls:
            self._make_authority()
            self._issue("client", "client", [])
        self._write_keys(places)
        return [self.write_node(place, places, join=False) for place in places]

    def write_node(self, place: Place, members: Sequence[Place], *, join: bool, again: bool = False) -> Path:
        """One node's configuration and, with TLS, its certificate. `again`: the configuration takes another's place."""
        path = self.config_path(place)
        if again:
            path.unlink(missing_ok=True)
        if path.exists():
            raise ConfigError(f"{path} is there already")
        if self.tls and not (again and self.tls_file(f"{place.name}.pem").exists()):
            names = [place.host, node_name(self.cluster, place.number)]
            if place.region:
                names.append(region_name(self.cluster, place.region))
            self._issue(place.name, f"node {place.number}", names)
        if join:
            self._find_key(place)
        _write(path, self._toml(place, members, join=join).encode())
        return path

    def config_path(self, place: Place) -> Path:
        return self.directory / f"{place.name}.toml"

    def _key_file(self, place: Place) -> Path:
        if not place.region:
            return self.directory / "root.key"
        return self.directory / f"root-{place.region}{'' if place.holds_global else '-only'}.key"

    def _write_keys(self, places: Sequence[Place]) -> None:
        """The one key; or a key for each region, which no node of another one gets, and one for the global group."""
        if not places[0].region:
            _write_private(self._key_file(places[0]), generate_root_key().encode() + b"\n")
            return
        shared = generate_root_key()
        for region in dict.fromkeys(place.region for place in places):
            own = f"regional = {generate_root_key()}\n"
            for path, holds_global in {
                self._key_file(one): one.holds_global for one in places if one.region == region
            }.items():
                _write_private(path, (own + (f"global = {shared}\n" if holds_global else "")).encode())

    def _find_key(self, place: Place) -> None:
        """See to it that there is a file with the keys of a node that joins: cut from that of the region's others."""
        path = self._key_file(place)
        if not place.region or path.exists():
            return
        whole = self._key_file(evolve(place, holds_global=True))
        if place.holds_global or not whole.exists():
            raise ConfigError(f"{path} is missing: bring the region's root key there, as its other nodes have it")
        regional = [line for line in whole.read_text().splitlines() if not line.startswith("global")]
        _write_private(path, ("\n".join(regional) + "\n").encode())

    def tls_file(self, name: str) -> Path:
        return self.directory / "tls" / name

    def _toml(self, place: Place, members: Sequence[Place], *, join: bool) -> str:
        lines = [
            f"# Node {place.number} of a VerityDB cluster. Start it with: vdb start --config {place.name}.toml",
            "",
            "[node]",
            f"name = {_text(place.name)}",
            f"number = {place.number}",
            f"cluster = {_text(self.cluster.hex())}",
            f"region = {_text(place.region or self.region)}",
            f"data-dir = {_text('data-' + place.name)}",
            f"address = {_text(place.address)}",
            f"peer-address = {_text(place.peer_address)}",
            f"key-file = {_text(self._key_file(place).name)}",
        ]
        if join:
            lines.append("join = true  # this node isn't among those with which the cluster began")
        for member in members:
            lines += [
                "",
                "[[members]]",
                f"number = {member.number}",
                f"name = {_text(member.name)}",
                f"address = {_text(member.address)}",
                f"peer-address = {_text(member.peer_address)}",
                *([f"region = {_text(member.region)}"] if member.region else []),
                *([] if member.holds_global else ["global-group = false"]),
            ]
        if self.tls:
            lines += ["", "[tls]", f'cert = "tls/{place.name}.pem"', f'key = "tls/{place.name}.key"']
            lines += ['ca = "tls/ca.pem"']
        return "\n".join(lines) + "\n" + self.extra

    # Certificates

    def _make_authority(self) -> None:
        self.tls_file("").mkdir(mode=0o700, exist_ok=True)
        authority = make_authority(
            f"VerityDB cluster {self.cluster.hex()[:8]}", now=datetime.now(UTC), valid_for=VALID_FOR, serial=_serial()
        )
        self._keep("ca", authority)

    def _issue(self, file: str, name: str, hosts: Sequence[str]) -> None:
        try:
            authority = Issued(
                certificate=self.tls_file("ca.pem").read_bytes(), key=self.tls_file("ca.key").read_bytes()
            )
        except OSError as error:
            raise ConfigError(f"the authority {self.tls_file('ca.key')} can't be read: {error.strerror}") from None
        made = issue(authority, name, hosts=hosts, now=datetime.now(UTC), valid_for=VALID_FOR, serial=_serial())
        self._keep(file, made)

    def _keep(self, file: str, made: Issued) -> None:
        _write_private(self.tls_file(f"{file}.key"), made.key)
        _write(self.tls_file(f"{file}.pem"), made.certificate)


def _serial() -> bytes:
    return bytes((0x40,)) + RealEntropy().random_bytes(SERIAL_SIZE - 1)


def _text(text: str) -> str:
    """As a TOML string: JSON's escapes are TOML's."""
    return json.dumps(text)


def _write_private(path: Path, content: bytes) -> None:
    _write(path, content, mode=0o600)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from None
