"""The backend: Django's for SQLite with `vdb.dbapi` in place of `sqlite3`."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from django.db.backends.sqlite3 import base as sqlite
from django.db.backends.sqlite3._functions import register as register_functions
from django.utils.dateparse import parse_date, parse_datetime, parse_time

from vdb import dbapi
from vdb.django.client import DatabaseClient, addresses
from vdb.django.creation import DatabaseCreation
from vdb.django.features import DatabaseFeatures
from vdb.django.introspection import DatabaseIntrospection
from vdb.django.operations import DatabaseOperations
from vdb.django.schema import DatabaseSchemaEditor

_ASKED = ("create", "consistency", "answer_within", "cert", "key", "ca")
"""Options that go to the nodes which `HOST` names: see `vdb.dbapi.remote`."""


def _decoded(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda raw: parse(raw.decode())


dbapi.register_converter("bool", b"1".__eq__)
dbapi.register_converter("date", _decoded(parse_date))
dbapi.register_converter("time", _decoded(parse_time))
dbapi.register_converter("datetime", _decoded(parse_datetime))
dbapi.register_converter("timestamp", _decoded(parse_datetime))

dbapi.register_adapter(decimal.Decimal, str)
dbapi.register_adapter(datetime.date, datetime.date.isoformat)
dbapi.register_adapter(datetime.datetime, lambda moment: moment.isoformat(" "))


class DatabaseWrapper(sqlite.DatabaseWrapper):  # type: ignore[misc]
    """A connection of Django's."""

    Database: ClassVar[Any] = dbapi
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        if self.settings_dict["HOST"]:
            nodes = ",".join(addresses(self.settings_dict))
            asked = urlencode([(name, parameters.pop(name)) for name in _ASKED if name in parameters])
            parameters["database"] = f"verity://{nodes}/{quote(str(parameters['database']))}{asked and '?' + asked}"
            parameters.pop("uri")
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> dbapi.Connection:
        connection: dbapi.Connection = dbapi.connect(**conn_params)
        with suppress(dbapi.NotSupportedError):  # at a node far away SQLite can't call back
            register_functions(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        for command in self.init_commands:
            if command := command.strip():
                connection.execute(command)
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        return cursor


class Cursor(dbapi.Cursor):
    """Takes parameters as Django writes them: `%s` and `%(name)s`; `%%` is a percent sign."""

    def execute(self, query: str, params: Any = None) -> Any:
        if params is None:
            return super().execute(query)
        return super().execute(_converted(query, params), params)

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        rows = list(param_list)
        return super().executemany(_converted(query, rows[0] if rows else ()), rows)


def _converted(query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> str:
    if isinstance(parameters, Mapping):
        return query % {name: f":{name}" for name in parameters}
    return str(sqlite.FORMAT_QMARK_REGEX.sub("?", query)).replace("%%", "%")
