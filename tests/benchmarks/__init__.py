"""Measurements, run by `python -m tests.benchmarks [NAME ...]` from the root of the checkout.

Each benchmark is a module listed in `__main__` with `run(report, scale)`. `report(name, value, unit)` takes a finished
line; a bound that the line must keep is given with it. `scale` is a word of `SCALES`: a module has one set of sizes
for each. Machines are noisy: a comparison runs both sides in turn and reports the median of the pairs' ratios.
"""

SCALES = ("full", "quick", "tiny")
"""What `make bench` runs; a first look; what the tests run to see that the benchmarks themselves work."""
