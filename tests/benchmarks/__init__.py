"""Measurements, run by `python -m tests.benchmarks [NAME ...]` from the root of the checkout.

Each benchmark is a module listed in `__main__` with `run(report)`; `report(name, value, unit)` takes a finished line.
Machines are noisy: a comparison runs both sides in turn and reports the median of the pairs' ratios.
"""
