"""Notebar: the events of a small clinic's notes and appointments, their projections, and a synthetic day of them."""
