"""Bytes to values and back. The only package that imports `capnp`; the schemas lie in `schemas/`."""
