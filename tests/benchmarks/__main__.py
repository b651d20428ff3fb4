"""`python -m tests.benchmarks [NAME ...] [--quick] [--json]`: all benchmarks, or those named."""

from __future__ import annotations

import argparse
import importlib

from tests.benchmarks.report import Reporter

NAMES = {
    "rpc": "rpc_rate",
    "publish": "publish_rate",
    "read": "read_rate",
    "receipts": "receipts",
    "restart": "restart_time",
    "streams": "idle_streams",
    "tenants": "many_tenants",
    "peers": "peer_rate",
    "cluster": "cluster.comparison",
    "sql": "sql.comparison",
    "as-of": "as_of_cost",
    "consumers": "consumers.comparison",
    "projections": "projections",
    "sim": "simulator_rate",
}
"""Name on the command line: module in this package with `run(report, scale)`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repetitions")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json", action="store_true", help="one object a line: benchmark, name, value, unit, bounds; or a note"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    reporter = Reporter(as_json=options.json)
    scale = "tiny" if options.tiny else "quick" if options.quick else "full"
    for name in options.names or NAMES:
        module = importlib.import_module(f"tests.benchmarks.{NAMES[name]}")
        about = (module.__doc__ or "").strip().splitlines()[0]
        module.run(reporter.begin(name, about), scale)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
