"""Run benchmarks: the usual ones, or those that are named.

    python -m bench
    python -m bench herd lines

Each is a module with a `main`; each prints its own figures, with the baseline of the same run.
"""

import argparse
import sys
import zoneinfo
from importlib import import_module

from bench.machine import print_header

USUAL = {
    "start": "from `tickwheel dev` to ready, the first time and again",
    "creation": "schedules created through GraphQL",
    "herd": "once-schedules due at the same instant",
    "million": "a million registered, idle and with a herd",
    "each_second": "one schedule, due each second",
    "chatty": "a command that prints 100,000 lines a second, and the others meanwhile",
    "http": "HTTP runs against a server on this machine",
    "fixed_cost": "a trivial query with everything that is always done, beside the bare minimum",
    "lists": "a list with what it refers to, beside a plain Strawberry app",
    "hostile": "requests made to keep a process busy: what refusing them costs",
    "live": "subscribers, and what a delivery costs",
    "live_memory": "the memory of an idle subscription",
    "time": "next instants",
    "lines": "lines of code per layer",
}
"""What is run when nothing is named: about twenty minutes."""

ON_DEMAND = {
    "http_memory": "the memory of a worker over 100,000 HTTP runs",
    "bounded_reads": "reads over all of a million schedules",
    "history": "the engine and its readers on a million finished runs",
    "pages": "lists at a million schedules and ten million runs",
    "health_reads": "status, watchdog and statistics over many runs",
    "herd_peers": "a herd beside APScheduler, installed for the occasion, and arq",
}
BENCHMARKS = {**USUAL, **ON_DEMAND}


def main() -> int:
    """Print the machine and the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; by default up to lines"
    )
    names = parser.parse_args().names or list(USUAL)
    if unknown := set(names) - BENCHMARKS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}: {', '.join(BENCHMARKS)}")
    zoneinfo.reset_tzpath(())
    print_header()
    for name in names:
        print(f"\n== {name}: {BENCHMARKS[name]}\n")
        sys.argv = [f"bench.{name}"]  # Some take an argument of their own when run alone.
        import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
