"""Audit logs as a node works with them: recording, reading back, searching."""
