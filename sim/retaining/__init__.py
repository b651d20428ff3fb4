"""Retention in a run: segments are pruned under fire."""
