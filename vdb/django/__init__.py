"""Django on VerityDB: its backend for SQLite, on `vdb.dbapi`.

    DATABASES = {
        "default": {
            "ENGINE": "vdb.django",
            "NAME": BASE_DIR / "data",                # a data directory, or ":memory:"
            "OPTIONS": {"keys": "root.key", "name": "main", "tenant": 1, "actor": "clinic"},
        }
    }

On a cluster `HOST` names nodes (`"10.0.0.1:7140,10.0.0.2:7140"`), `NAME` the database, and `OPTIONS` may have what
`vdb.dbapi.remote` knows, such as `"create": True`. There SQLite can't call back: what Django computes by functions of
its own in SQL (parts of dates, regular expressions, statistics) fails with "no such function".

`OPTIONS` may hold what `vdb.dbapi.connect` takes, and what Django's backend for SQLite takes (`transaction_mode`,
`init_command`, `timeout`). `vdb.dbapi.attributed(actor=..., purpose=...)` around a request says on whose behalf its
transactions are made.
"""
