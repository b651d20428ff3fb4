"""Root keys that AWS KMS keeps closed: a file holds them wrapped by a key that never leaves the KMS.

The file is JSON:

    format    "veritydb-root-keys/aws-kms"    version   1
    kms-key   the KMS key: an ARN, an id or an alias
    region    the region of VerityDB whose keys they are
    regional  the root key, as KMS wrapped it, base64
    global    the same for the global group; left out where the regional one serves both
    others    keys that aren't the first any more

Rules
- A key is drawn in the KMS and comes out wrapped (GenerateDataKeyWithoutPlaintext); a node that starts has it opened
  (Decrypt) and holds it in memory alone. Without the KMS, or the right to use its key, no node of the region starts.
- The encryption context names the region and the use: a file of another region, or a global key in a regional one's
  place, doesn't open. It stands in CloudTrail, and tells no tenant and no patient.
- Who takes the right to use the KMS key away ends all nodes at their next start; who deletes it ends the data.
"""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Literal

import msgspec
from attrs import frozen

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError, KeysMissing, VerityError
from vdb.types import GLOBAL_GROUP, Region

KEY_SPEC = "AES_256"


class KmsKeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """What the file says. It holds no key in clear."""

    format: Literal["veritydb-root-keys/aws-kms"] = "veritydb-root-keys/aws-kms"
    version: Literal[1] = 1
    kms_key: str
    region: str
    regional: str
    global_: str | None = msgspec.field(default=None, name="global")
    others: tuple[str, ...] = ()


@frozen
class AwsKmsKeys:
    """Root keys that AWS KMS opens. Where it is reached, and as whom, boto3 finds in its usual places."""

    name = "aws-kms"
    path: Path

    def load(self) -> RootKeys:
        file = read_kms_file(self.path)
        client = _client()
        return RootKeys(
            regional=_open(client, file, file.regional, file.region),
            global_=None if file.global_ is None else _open(client, file, file.global_, GLOBAL_GROUP),
            others=[_open_other(client, file, other) for other in file.others],
            source=f"{self.name} {file.kms_key}",
            place=f"in {self.path}, among its `others`, as it stands in a copy of the file that has it",
            region=file.region,
        )


def is_kms_file(content: bytes) -> bool:
    """Whether a key file is one of this kind, and not one of keys."""
    return content.lstrip().startswith(b"{")


def read_kms_file(path: Path) -> KmsKeyFile:
    """KeysMissing, ConfigError."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=KmsKeyFile)
        Region(file.region)
    except OSError as error:
        raise KeysMissing(f"the key file {path} can't be read: {error.strerror}") from None
    except (msgspec.DecodeError, VerityError) as error:
        raise ConfigError(f"the key file {path} isn't one of keys that AWS KMS wrapped: {error}") from None
    return file


def make_kms_file(kms_key: str, region: Region) -> KmsKeyFile:
    """A new root key for a region, drawn in the KMS. KeysMissing when that can't be."""
    return KmsKeyFile(kms_key=kms_key, region=region.name, regional=_draw(_client(), kms_key, region.name))


def with_next_key(file: KmsKeyFile) -> KmsKeyFile:
    """The same with a new key in front of those there are."""
    client = _client()
    before = [file.regional] if file.global_ is None else [file.regional, file.global_]
    return KmsKeyFile(
        kms_key=file.kms_key,
        region=file.region,
        regional=_draw(client, file.kms_key, file.region),
        global_=None if file.global_ is None else _draw(client, file.kms_key, GLOBAL_GROUP),
        others=(*before, *file.others),
    )


def without_others(file: KmsKeyFile) -> KmsKeyFile:
    """The same without the keys that aren't the first any more."""
    return msgspec.structs.replace(file, others=())


def encode_kms_file(file: KmsKeyFile) -> str:
    return json.dumps(msgspec.to_builtins(file), indent=1) + "\n"


def _draw(client: Any, kms_key: str, place: str) -> str:
    answer = _ask(
        client.generate_data_key_without_plaintext,
        KeyId=kms_key,
        KeySpec=KEY_SPEC,
        EncryptionContext=_context(place),
    )
    return b64encode(answer["CiphertextBlob"]).decode()


def _open_other(client: Any, file: KmsKeyFile, wrapped: str) -> bytes:
    """One that was a regional key or a global one before."""
    try:
        return _open(client, file, wrapped, file.region)
    except KeysMissing:
        if file.global_ is None:
            raise
        return _open(client, file, wrapped, GLOBAL_GROUP)


def _open(client: Any, file: KmsKeyFile, wrapped: str, place: str) -> bytes:
    try:
        blob = b64decode(wrapped, validate=True)
    except ValueError:
        raise ConfigError("a key that AWS KMS wrapped is base64; found another text") from None
    answer = _ask(client.decrypt, CiphertextBlob=blob, KeyId=file.kms_key, EncryptionContext=_context(place))
    key: bytes = answer["Plaintext"]
    return key


def _context(place: str) -> dict[str, str]:
    return {"veritydb:use": "root-key", "veritydb:group": place}


def _client() -> Any:
    try:
        import boto3
    except ImportError:
        raise KeysMissing("keys in AWS KMS need boto3: pip install 'veritydb[aws]'") from None
    from botocore.exceptions import BotoCoreError

    # At the level DEBUG it would write what the KMS answers: the key.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        return boto3.client("kms")
    except BotoCoreError as error:
        raise KeysMissing(f"AWS KMS can't be reached: {error}") from None


def _ask(method: Any, **arguments: Any) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return method(**arguments)
    except ClientError as error:
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        said = f"{code}: {message}" if message else code
    except BotoCoreError as error:
        said = str(error)
    # Raised outside of the handlers: an error of boto3 may hold what was asked.
    raise KeysMissing(f"AWS KMS didn't open or draw the root key with '{arguments['KeyId']}': {said}")
