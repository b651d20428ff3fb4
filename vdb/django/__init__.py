"""Django on VerityDB: its backend for SQLite, on `vdb.dbapi`.

    DATABASES = {
        "default": {
            "ENGINE": "vdb.django",
            "NAME": BASE_DIR / "data",                # a data directory, or ":memory:"
            "OPTIONS": {"keys": "root.key", "name": "main", "tenant": 1, "actor": "clinic"},
        }
    }

`OPTIONS` may hold what `vdb.dbapi.connect` takes, and what Django's backend for SQLite takes (`transaction_mode`,
`init_command`, `timeout`). `vdb.dbapi.attributed(actor=..., purpose=...)` around a request says on whose behalf its
transactions are made.
"""
