"""Single-row statements of SQL mode beside SQLCipher, SQLite and PostgreSQL with a trigger that audits each row.

stores      the four of them, behind one protocol
postgres    a PostgreSQL of its own, and connections to it
comparison  measures them in turns, and tells the ratios
"""
