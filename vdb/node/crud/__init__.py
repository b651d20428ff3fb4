"""SQL databases on a node: one stream of the log and one file each.

`lease` says who may write, `database` joins file, stream and sessions, `following` applies what the log holds and the
file doesn't, `databases` finds them. What a session does with SQLite is in `vdb.sql`.
"""
