"""SQL mode: a database of plain SQL whose every row change is an event in the log.

A session is one user's connection to the database's SQLCipher file. What stands between the two: `verdict` says what a
statement is, `capture` collects the rows that it changes, `session` brings a transaction into the log before SQLite
commits it, and `applying` brings the log into a file. The log decides: what is in it is applied, at the latest when the
file is next opened, and nothing else stays.

Where a policy or the audit log has a say, a `governor` stands before the session: `touching` says what a statement does
to which tables, the `keeping.Keeper` is asked, `restricting` puts filters and masks in front of the statement,
`checking` sees by SQLite's word that nothing is read past them, and what is read leaves once its receipt is in the log.

No scheduler and no thread in here: `session` is written over a bridge that its host gives.
"""
