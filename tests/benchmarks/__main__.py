"""`python -m tests.benchmarks [NAME ...] [--json]`: all benchmarks, or those named."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

NAMES = {
    "rpc": "rpc_rate",
}
"""Name on the command line: module in this package with `run(report)`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--json", action="store_true", help="one object a line: benchmark, name, value, unit")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for benchmark in options.names or NAMES:
        module = importlib.import_module(f"tests.benchmarks.{NAMES[benchmark]}")

        def report(name: str, value: float, unit: str, *, benchmark: str = benchmark) -> None:
            if options.json:
                line = json.dumps({"benchmark": benchmark, "name": name, "value": value, "unit": unit})
            else:
                shown = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
                line = f"{benchmark:12} {name:60} {shown:>14} {unit}"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

        module.run(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
