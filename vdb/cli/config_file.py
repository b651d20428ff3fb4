"""A node's configuration file: TOML, strict. An unknown key is an error that names the file and the key.

builtin-projections = ["notebar", "fhir"]  # the default; [] for none
projections = ["clinic.read_models:census"]  # module:attribute, a projection or a list of them; modules are looked for
                                       # in the file's own directory, and where Python looks

[node]
name = "node-1"
region = "ap-southeast-2"
data-dir = "data"                      # relative paths count from the file's own directory
address = "127.0.0.1:7140"
key-file = "root.key"                  # mode 0600; without it, VDB_ROOT_KEY
reserve-wal = false                    # a new data directory takes all blocks of its write-ahead logs at once
scrub-period-days = 7.0
connections-max = 1024
number = 0                             # of a node in a cluster: its own, for ever
cluster = "00112233445566778899aabbccddeeff"   # of a node in a cluster: the same for all of them
peer-address = "127.0.0.1:7150"        # of a node in a cluster: where it listens for the others
join = false                           # a new data directory belongs to a node that isn't a member yet

[keys]                                 # where root keys come from; without it, key-file or VDB_ROOT_KEY
provider = "aws-kms"                   # or "file", "environment"
file = "root.kms"                      # made by `vdb key create`
period-days = 30                       # then a tenant's data keys are new ones; 0: only by `vdb key rotate`

[[members]]                            # of a node in a cluster: all nodes with which the cluster begins, itself too
number = 0
name = "node-1"
address = "127.0.0.1:7140"             # where clients find it
peer-address = "127.0.0.1:7150"        # where other nodes find it
region = "ap-southeast-2"              # of a cluster of several: without it, the node's own
global-group = true                    # whether it holds the global group as well

[tls]                                  # all three or none; needed off loopback
cert = "node.pem"
key = "node.key"
ca = "ca.pem"

[audit]                                # witnesses cosign the heads of what this node leads: see `vdb witness`
witnesses = ["https://w.example:7150 w.example+1a2b3c4d+BA..."]   # each: its address, and its key
cosign-every = "1d"                    # or 12h, 30m, 90s

[identity]                             # see vdb.cli.identity_file

[limits]                               # fields of vdb.limits.Limits; they count when the directory is created
message-size-max = 1048576

[[projection]]                         # see vdb.projections.toml
name = "beds"
streams = ["wards", "beds.*"]
...
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from vdb.cli.identity_file import IdentitySection
from vdb.errors import ConfigError
from vdb.fhir.projections import FHIR_PROJECTIONS
from vdb.limits import Limits
from vdb.node.audit.cosigning_settings import CosigningSettings, parse_every, parse_witness
from vdb.node.config import MemberConfig
from vdb.notebar.projections import NOTEBAR_PROJECTIONS
from vdb.projections.config import ProjectionConfig, joined
from vdb.projections.given import as_configs
from vdb.projections.toml import parse_projections
from vdb.types import Region

_CLUSTER_ID = re.compile("[0-9a-fA-F]{32}")
BUILTIN = {"notebar": NOTEBAR_PROJECTIONS, "fhir": FHIR_PROJECTIONS}


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="kebab"):
    """A table of the file."""


class NodeSection(_Section, frozen=True):
    name: str | None = None
    region: str | None = None
    data_dir: str | None = None
    address: str | None = None
    key_file: str | None = None
    reserve_wal: bool = False
    scrub_period_days: float = 7.0
    connections_max: int = 1024
    number: int = 0
    cluster: str | None = None
    peer_address: str | None = None
    join: bool = False

    def cluster_id(self) -> bytes | None:
        """16 bytes; None where the file doesn't say. ConfigError for anything but 32 hex digits."""
        if self.cluster is None:
            return None
        if not _CLUSTER_ID.fullmatch(self.cluster):
            raise ConfigError("a cluster's id has 32 hex digits - at `$.node.cluster`")
        return bytes.fromhex(self.cluster)


class MemberSection(_Section, frozen=True):
    number: int
    name: str
    address: str
    peer_address: str
    region: str | None = None
    global_group: bool = True


class KeysSection(_Section, frozen=True):
    provider: Literal["environment", "file", "aws-kms"] | None = None
    file: str | None = None
    period_days: Annotated[int, msgspec.Meta(ge=0)] = 30


class AuditSection(_Section, frozen=True):
    witnesses: tuple[str, ...] = ()
    """Each as 'URL KEY'."""
    cosign_every: str = "1d"

    def cosigning(self) -> CosigningSettings:
        """ConfigError."""
        return CosigningSettings(
            witnesses=tuple(map(parse_witness, self.witnesses)), every_s=parse_every(self.cosign_every)
        )


class TlsSection(_Section, frozen=True):
    cert: str
    key: str
    ca: str


class ConfigFile(_Section, frozen=True):
    """What a file says; the defaults where it says nothing."""

    node: NodeSection = NodeSection()
    members: tuple[MemberSection, ...] = ()
    tls: TlsSection | None = None
    identity: IdentitySection = IdentitySection()
    keys: KeysSection = KeysSection()
    audit: AuditSection = AuditSection()
    limits: dict[str, int] = {}
    builtin_projections: tuple[Literal["notebar", "fhir"], ...] = ("notebar", "fhir")
    projections_named: tuple[str, ...] = msgspec.field(default=(), name="projections")
    projection: list[dict[str, Any]] = []

    def limits_value(self) -> Limits:
        """ConfigError for an unknown name, or for values that don't go together."""
        for name in self.limits:
            if "_" in name or name.replace("-", "_") not in Limits.__annotations__:
                raise ConfigError(f"unknown key `{name}` - at `$.limits`")
        try:
            return Limits(**{name.replace("-", "_"): value for name, value in self.limits.items()})
        except AssertionError as error:
            broken = _in_file_words(str(error)) or "see vdb.limits"
            raise ConfigError(f"the values of [limits] don't go together: {broken}") from None

    def member_configs(self) -> tuple[MemberConfig, ...]:
        """The nodes of the cluster, as the file lists them."""
        return tuple(
            MemberConfig(
                node=member.number,
                name=member.name,
                address=member.address,
                peer_address=member.peer_address,
                region=Region(member.region) if member.region is not None else None,
                holds_global=member.global_group,
            )
            for member in self.members
        )

    def projections(self) -> tuple[ProjectionConfig, ...]:
        """The built-in ones, the file's own, and those of modules; timelines of one name are joined. ConfigError."""
        builtin = [config for name in dict.fromkeys(self.builtin_projections) for config in BUILTIN[name]]
        return joined([*builtin, *parse_projections(self.projection), *as_configs(self.projections_named)])


def _find_modules_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _in_file_words(text: str) -> str:
    """A sentence about fields of `Limits`, with their names as they stand in the file."""
    return re.sub(r"[a-z]+(?:_[a-z]+)+", lambda found: found[0].replace("_", "-"), text)


def read_config_file(path: Path) -> ConfigFile:
    """Read and check a file. ConfigError names the file and what is wrong in it."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} isn't TOML: {error}") from None
    try:
        config = msgspec.convert(raw, ConfigFile)
        config.limits_value()
        if config.projections_named:
            _find_modules_in(path.resolve().parent)
        config.projections()
        config.node.cluster_id()
        config.audit.cosigning()
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return config
