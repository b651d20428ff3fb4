"""What SQLAlchemy's dialect suite may ask of VerityDB, and why it doesn't ask the rest.

Everything that SQLite has is open; what is closed beyond the suite's own defaults has its reason beside it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

OPEN = (
    "autocommit",
    "boolean_col_expressions",
    "check_constraint_reflection",
    "computed_columns",
    "computed_columns_reflect_persisted",
    "computed_columns_stored",
    "computed_columns_virtual",
    "create_table_as",
    "create_temp_table_as",
    "ctes",
    "ctes_on_dml",
    "ctes_with_update_delete",
    "datetime_historic",
    "datetime_literals",
    "date_historic",
    "dbapi_lastrowid",
    "deferrable_fks",
    "duplicate_names_in_cursor_description",
    "emulated_lastrowid",
    "except_",
    "expression_server_defaults",
    "fk_constraint_option_reflection_ondelete_noaction",
    "fk_constraint_option_reflection_ondelete_restrict",
    "fk_constraint_option_reflection_onupdate_restrict",
    "foreign_key_constraint_name_reflection",
    "foreign_key_constraint_option_reflection_ondelete",
    "foreign_key_constraint_option_reflection_onupdate",
    "has_temp_table",
    "implicit_default_schema",
    "index_ddl_if_exists",
    "indexes_with_expressions",
    "infinity_floats",
    "inline_check_constraint_reflection",
    "intersect",
    "isolation_level",
    "json_type",
    "legacy_unconditional_json_extract",
    "nullsordering",
    "order_by_label_with_expression",
    "percent_schema_names",
    "precision_numerics_enotation_small",
    "precision_numerics_retains_significant_digits",
    "reflect_table_options",
    "reflects_pk_names",
    "regexp_match",
    "savepoints",
    "server_defaults",
    "skip_autocommit_rollback",
    "supports_bitwise_and",
    "supports_bitwise_not",
    "supports_bitwise_or",
    "supports_bitwise_shift",
    "symbol_names_w_double_quote",
    "table_ddl_if_exists",
    "temp_table_names",
    "temporary_views",
    "timestamp_microseconds",
    "tuple_in",
    "unicode_ddl",
    "update_from",
    "views",
    "window_functions",
    "window_range",
    "window_range_numeric",
)
"""Closed by default in the suite; SQLite has them, and so has VerityDB."""

CLOSED = {
    "implicitly_named_constraints": "SQLite doesn't name constraints by itself",
    "parens_in_union_contained_select_w_limit_offset": "SQLite's grammar has no parentheses around parts of a UNION",
    "parens_in_union_contained_select_wo_limit_offset": "SQLite's grammar has no parentheses around parts of a UNION",
    "schemas": "a connection has one database: ATTACH is refused",
}
"""Open by default in the suite."""


class Requirements(SuiteRequirements):
    """For `--requirements vdb.sqlalchemy.requirements:Requirements`."""


_rules: Any = exclusions


def _opened(name: str) -> property:
    return property(lambda self: _rules.open(), doc=name)


def _closed(reason: str) -> property:
    return property(lambda self: _rules.skip_if(lambda config: True, reason), doc=reason)


for _name in OPEN:
    setattr(Requirements, _name, _opened(_name))
for _name, _reason in CLOSED.items():
    setattr(Requirements, _name, _closed(_reason))
