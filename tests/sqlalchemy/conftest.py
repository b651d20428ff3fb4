"""Engines on databases in memory and in data directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vdb.crypto.root import RootKeys

MakeEngine = Callable[..., sa.Engine]


@pytest.fixture
def make_engine() -> Iterator[MakeEngine]:
    """`create_engine` whose engines are disposed of at the end."""
    made: list[sa.Engine] = []

    def make(url: str = "verity://", **options: object) -> sa.Engine:
        made.append(sa.create_engine(url, **options))  # type: ignore[call-overload]
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(make_engine: MakeEngine, tmp_path: Path) -> sa.Engine:
    """On a data directory, for any number of connections."""
    keys = RootKeys(bytes(32))
    return make_engine(f"verity:///{tmp_path / 'data'}", connect_args={"keys": keys})
