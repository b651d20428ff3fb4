"""How SQLAlchemy's own test suites set up databases on VerityDB. They load this by themselves.

    pytest --dburi verity:// --requirements vdb.sqlalchemy.requirements:Requirements ...
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.testing.provision import (
    create_db,
    drop_db,
    follower_url_from_main,
    stop_test_class_outside_fixtures,
    temp_table_keyword_args,
    upsert,
)
from sqlalchemy.testing.provision import generate_driver_url as generate

from vdb.sqlalchemy.dialect import VerityDialect

_NAME = VerityDialect.name


@generate.for_db(_NAME)
def _one_driver(url: Any, driver: str, query_str: str) -> Any:
    return url if driver in ("", url.get_driver_name()) else None


@follower_url_from_main.for_db(_NAME)
def _of_worker(url: Any, ident: str) -> Any:
    return url if url.database in (None, "", ":memory:") else url.set(database=f"{url.database}-{ident}")


@create_db.for_db(_NAME)
def _create(cfg: Any, eng: Any, ident: str) -> None:
    """A data directory is made when it is first opened."""


@drop_db.for_db(_NAME)
def _drop(cfg: Any, eng: Any, ident: str) -> None:
    """The directory is its owner's."""


@stop_test_class_outside_fixtures.for_db(_NAME)
def _stop(config: Any, db: Any, cls: Any) -> None:
    db.dispose()


@temp_table_keyword_args.for_db(_NAME)
def _temp(cfg: Any, eng: Any) -> dict[str, Any]:
    return {"prefixes": ["TEMPORARY"]}


@upsert.for_db(_NAME)
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
