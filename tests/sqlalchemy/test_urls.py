from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import exc, make_url

from vdb.sqlalchemy.urls import connect_arguments, is_memory, is_remote


@pytest.mark.parametrize("url", ["verity://", "verity:///", "verity:///:memory:", "verity+vdb://"])
def test_memory(url: str) -> None:
    assert is_memory(make_url(url))
    assert connect_arguments(make_url(url)) == ([":memory:"], {})


def test_a_data_directory_is_for_all_threads() -> None:
    url = make_url("verity:////srv/clinic?name=main&tenant=7&keys=root.key&timeout=2.5&actor=dr-lee&purpose=treatment")
    assert not is_memory(url)
    assert connect_arguments(url) == (
        ["/srv/clinic"],
        {
            "name": "main",
            "tenant": 7,
            "keys": "root.key",
            "actor": "dr-lee",
            "purpose": "treatment",
            "timeout": 2.5,
            "check_same_thread": False,
        },
    )


def test_memory_that_connections_share() -> None:
    url = make_url("verity:///file:shared?mode=memory&cache=shared&uri=true&timeout=1")
    assert not is_memory(url)
    given = {"timeout": 1.0, "check_same_thread": False, "uri": True}
    assert connect_arguments(url) == (["file:shared?mode=memory&cache=shared"], given)
    assert connect_arguments(make_url("verity:///file:/data?mode=ro"))[0] == ["file:/data?mode=ro"]


def test_a_relative_directory_is_where_the_program_stands() -> None:
    positional, _ = connect_arguments(make_url("verity:///data"))
    assert positional == [str(Path.cwd() / "data")]


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("verity://one/clinic", "one:7140"),
        ("verity://one:7141/clinic", "one:7141"),
        ("verity://one,two,three/clinic", "one:7140,two:7140,three:7140"),
        ("verity://one:7141/clinic?host=two:7142&host=three", "one:7141,two:7142,three:7140"),
        ("verity:///clinic?host=two:7142", "two:7142"),
        ("verity:///clinic?host=[::1]:7142&host=[::1]", "[::1]:7142,[::1]:7140"),
    ],
)
def test_nodes(url: str, nodes: str) -> None:
    parsed = make_url(url)
    assert is_remote(parsed)
    assert not is_memory(parsed)
    assert connect_arguments(parsed) == ([f"verity://{nodes}/clinic"], {"check_same_thread": False})


def test_what_is_asked_of_nodes_goes_along() -> None:
    url = make_url("verity://one/a%20clinic?tenant=7&create=true&ca=/etc/ca.pem&actor=dr-lee&consistency=stale")
    positional, options = connect_arguments(url)
    assert positional == ["verity://one:7140/a%20clinic?create=true&consistency=stale&ca=%2Fetc%2Fca.pem"]
    assert options == {"tenant": 7, "actor": "dr-lee", "check_same_thread": False}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("verity://me:secret@one/clinic", "has no user and no password"),
        ("verity:////data?actr=x", "has no option 'actr'; there are: name, tenant,"),
        ("verity:////data?mode=ro", "has no option 'mode'"),
        ("verity://one/clinic?name=other", "named in the URL's path"),
    ],
)
def test_what_a_url_cannot_say(url: str, message: str) -> None:
    with pytest.raises(exc.ArgumentError, match=message) as refused:
        connect_arguments(make_url(url))
    assert "secret" not in str(refused.value)


def test_options_have_their_types() -> None:
    options: dict[str, Any] = connect_arguments(make_url("verity:///x?check_same_thread=true&cached_statements=3"))[1]
    assert options == {"check_same_thread": True, "cached_statements": 3}
