"""Root keys in AWS KMS, against a local server that speaks its protocol."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from vdb.errors import ConfigError, KeysMissing
from vdb.types import GLOBAL_GROUP, GroupId, Region
from vdb.world.key_files import add_next_key, create_kms_key_file, drop_other_keys
from vdb.world.key_providers import key_provider
from vdb.world.kms import AwsKmsKeys, read_kms_file

EU = Region("eu-west-1")
EU_GROUP = GroupId(EU.name)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def kms_key(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key in the KMS; it is reached as boto3 finds it."""
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ):
        monkeypatch.setenv(name, value)
    created = boto3.client("kms").create_key(Description="for a test")
    return str(created["KeyMetadata"]["KeyId"])


@pytest.fixture
def path(tmp_path: Path, kms_key: str) -> Path:
    path = tmp_path / "root.kms"
    create_kms_key_file(path, kms_key, EU)
    return path


def test_a_root_key_is_opened_by_the_kms(path: Path, kms_key: str) -> None:
    first, second = AwsKmsKeys(path).load(), key_provider(None, path).load()
    assert first.ring(EU_GROUP).ids == second.ring(EU_GROUP).ids
    assert len(first.ring(EU_GROUP).ids) == 1
    assert first.source == f"aws-kms {kms_key}"
    assert first.for_group(GLOBAL_GROUP).key_id != first.for_group(EU_GROUP).key_id


def test_the_file_holds_no_key_in_clear(path: Path, kms_key: str) -> None:
    file = json.loads(path.read_text())
    blob = b64decode(file["regional"])
    context = {"veritydb:use": "root-key", "veritydb:group": EU.name}
    plain = boto3.client("kms").decrypt(CiphertextBlob=blob, KeyId=kms_key, EncryptionContext=context)["Plaintext"]
    assert len(plain) == 32
    assert plain not in blob
    assert plain.hex() not in path.read_text()


def test_the_keys_of_one_region_open_in_no_other(path: Path) -> None:
    keys = AwsKmsKeys(path).load()
    with pytest.raises(ConfigError, match="the root keys are for region 'eu-west-1': expected those of region 'us-eas"):
        keys.ring(GroupId("us-east-1"))
    path.write_text(path.read_text().replace('"region": "eu-west-1"', '"region": "us-east-1"'))
    with pytest.raises(KeysMissing, match=r"AWS KMS didn't open or draw the root key with .*InvalidCiphertext"):
        AwsKmsKeys(path).load()


def test_a_rotation_in_the_kms(path: Path) -> None:
    before = AwsKmsKeys(path).load().ring(EU_GROUP).ids
    add_next_key(path)
    both = AwsKmsKeys(path).load().ring(EU_GROUP).ids
    assert both[1:] == before
    assert drop_other_keys(path) == 1
    assert AwsKmsKeys(path).load().ring(EU_GROUP).ids == both[:1]


def test_a_kms_key_that_is_gone_opens_nothing(path: Path, kms_key: str) -> None:
    path.write_text(path.read_text().replace(kms_key, "00000000-0000-0000-0000-000000000000"))
    with pytest.raises(KeysMissing, match="with '00000000-0000-0000-0000-000000000000': NotFoundException"):
        AwsKmsKeys(path).load()


def test_a_kms_that_is_not_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(KeysMissing, match="AWS KMS didn't open or draw the root key"):
        AwsKmsKeys(path).load()


def test_an_unknown_kms_key_leaves_no_file(tmp_path: Path, kms_key: str) -> None:
    with pytest.raises(KeysMissing, match="NotFoundException"):
        create_kms_key_file(tmp_path / "root.kms", "alias/nobody", EU)
    assert not (tmp_path / "root.kms").exists()
    assert kms_key


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"format": "veritydb-root-keys/aws-kms", "version": 2, "kms-key": "k", "region": "eu-west-1", "regional": ""}',
        '{"format": "veritydb-root-keys/aws-kms", "kms-key": "k", "region": "EU!", "regional": ""}',
        '{"format": "veritydb-root-keys/aws-kms", "kms-key": "k", "region": "eu-west-1", "regional": "", "more": 1}',
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root.kms"
    path.write_text(text)
    with pytest.raises(ConfigError, match="isn't one of keys that AWS KMS wrapped"):
        read_kms_file(path)


def test_what_the_kms_answers_is_written_to_no_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    AwsKmsKeys(path).load()
    assert not [record for record in caplog.records if record.levelno < logging.INFO]
    assert "Plaintext" not in caplog.text
