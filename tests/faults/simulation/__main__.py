"""Run seeds by hand; see the package's docstring."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import structlog
from sqlalchemy.exc import SAWarning

from app.dev.postgres import EmbeddedPostgres
from app.store.migrate import upgrade
from tests.faults.simulation.running import run_seeds
from tests.faults.simulation.world import Verdict


def main() -> int:
    """Return 1 if a seed broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation")
    parser.add_argument("--seed", type=int, help="one seed, with its story")
    parser.add_argument("--first", type=int, default=0, help="the first of many seeds")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so long")
    given = parser.parse_args()
    # It complains of every connection that a crash leaves as it is.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", SAWarning)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="tickwheel-simulation-", dir="/tmp") as directory:
        return asyncio.run(_on_a_server(Path(directory), given))


async def _on_a_server(directory: Path, given: argparse.Namespace) -> int:
    server = EmbeddedPostgres(directory, durable=False)
    try:
        await upgrade(url := await server.start())
        return await asyncio.to_thread(_simulate, url, given)
    finally:
        await server.stop()


def _simulate(database_url: str, given: argparse.Namespace) -> int:
    end = time.monotonic() + 60 * given.minutes
    begun = time.monotonic()
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]

    def tell(verdict: Verdict) -> bool:
        if given.seed is not None:
            print("\n".join(verdict.story))
        for violation in verdict.violations:
            print(f"seed {verdict.seed}: {violation}", flush=True)
        return bool(time.monotonic() < end)

    verdicts = run_seeds(database_url, seeds, tell=tell)
    broken = [verdict.seed for verdict in verdicts if verdict.violations]
    print(
        f"{len(verdicts)} seeds in {time.monotonic() - begun:.0f} s:"
        f" {sum(verdict.runs for verdict in verdicts)} runs,"
        f" {sum(verdict.crashes for verdict in verdicts)} crashes, {len(broken)} broken",
        *(f"again: python -m tests.faults.simulation --seed {seed}" for seed in broken[:10]),
        sep="\n",
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
