"""Simulated clusters, and the breaks that they are seen to notice.

`python -m tests.faults.simulation --seed N` tells the story of one seed; `make faults` runs many.
"""

import asyncio
import gc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.faults.breaks import BREAKS, Break, broken_by
from tests.faults.simulation.running import run_seeds
from tests.faults.simulation.world import Verdict

SEEDS, PER_TEST = 200, 20
_MOST_SEEDS_TO_NOTICE = 40

pytestmark = [
    pytest.mark.timeout(900),
    # A process that crashes leaves its connections as they are; the collector complains of each.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Collect what crashed here, so that no later test is blamed for it."""
    yield
    gc.collect()


async def simulate(database_url: str, seeds: Iterable[int], **how: Any) -> list[Verdict]:
    """Run seeds on a thread: the simulation has an event loop of its own."""
    return await asyncio.to_thread(run_seeds, database_url, seeds, **how)


def told(verdicts: Iterable[Verdict]) -> list[str]:
    """Return what was broken, each with its seed; print the story and the journal of each."""
    verdicts = list(verdicts)
    for verdict in verdicts:
        if verdict.violations:
            print(f"seed {verdict.seed}:", *verdict.story, sep="\n")
    return [
        f"--seed {verdict.seed}: {violation}"
        for verdict in verdicts
        for violation in verdict.violations
    ]


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
async def test_every_promise_is_kept_whatever_crashes_stalls_or_is_lost(
    database_url: str, first: int
) -> None:
    """The next test shows what it would notice."""
    verdicts = await simulate(database_url, range(first, first + PER_TEST))
    assert told(verdicts) == []
    # Otherwise nothing was put to the test.
    assert sum(verdict.crashes for verdict in verdicts) > PER_TEST
    assert sum(verdict.lost for verdict in verdicts) > 0


@pytest.mark.parametrize("chosen", BREAKS, ids=lambda chosen: chosen.name)
async def test_a_safeguard_that_is_taken_out_is_missed(database_url: str, chosen: Break) -> None:
    """Each break is noticed by a promise that hangs on it."""

    def goes_on(verdict: Verdict) -> bool:
        return not any(
            violation.startswith(f"{promise}:")
            for violation in verdict.violations
            for promise in chosen.noticed_by
        )

    with broken_by(chosen):
        verdicts = await simulate(
            database_url, range(_MOST_SEEDS_TO_NOTICE), prepare=chosen.prepare, tell=goes_on
        )
    assert not goes_on(verdicts[-1]), f"{len(verdicts)} seeds have not noticed that {chosen.name}"


async def test_without_faults_every_run_starts_within_a_second(database_url: str) -> None:
    """I2, on the simulated clock."""
    assert told(await simulate(database_url, range(3), is_calm=True)) == []
