"""Clients of a node: one core for trio and asyncio, and a synchronous face with the same names."""
