"""How SQLAlchemy's own test suites set up databases on VerityDB. They load this by themselves.

pytest --dburi verity:// --requirements vdb.sqlalchemy.requirements:Requirements ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.testing import provision

from vdb.sqlalchemy.dialect import VerityDialect

Hook = TypeVar("Hook", bound=Callable[..., Any])


def _hook(name: str) -> Callable[[Hook], Hook]:
    register: Callable[[Hook], Hook] = getattr(provision, name).for_db(VerityDialect.name)
    return register


@_hook("generate_driver_url")
def _one_driver(url: Any, driver: str, query_str: str) -> Any:
    return url if driver in ("", url.get_driver_name()) else None


@_hook("follower_url_from_main")
def _of_worker(url: Any, ident: str) -> Any:
    return url if url.database in (None, "", ":memory:") else url.set(database=f"{url.database}-{ident}")


@_hook("create_db")
def _create(cfg: Any, eng: Any, ident: str) -> None:
    """A data directory is made when it is first opened."""


@_hook("drop_db")
def _drop(cfg: Any, eng: Any, ident: str) -> None:
    """The directory is its owner's."""


@_hook("stop_test_class_outside_fixtures")
def _stop(config: Any, db: Any, cls: Any) -> None:
    db.dispose()


@_hook("temp_table_keyword_args")
def _temp(cfg: Any, eng: Any) -> dict[str, Any]:
    return {"prefixes": ["TEMPORARY"]}


@_hook("upsert")
def _upsert(
    cfg: Any,
    table: Any,
    returning: Any,
    *,
    set_lambda: Any = None,
    sort_by_parameter_order: bool = False,
    index_elements: Any = None,
) -> Any:
    statement = insert(table)
    if set_lambda:
        statement = statement.on_conflict_do_update(set_=set_lambda(statement.excluded))
    else:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(*returning, sort_by_parameter_order=sort_by_parameter_order)
