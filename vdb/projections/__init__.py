"""Rows built from the log: handlers, templates, and the encrypted SQLite files that hold what they make."""
