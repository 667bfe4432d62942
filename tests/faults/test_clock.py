"""The clock of a live process jumps: only PostgreSQL's counts."""

from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, Worker
from tests.faults.rows import row

pytestmark = pytest.mark.timeout(600)

_LIBRARY = "libfaketime.so.1"


@dataclass
class MovableClock:
    """What a process takes for the time of day; its monotonic clock goes on as it is."""

    file: Path

    def jump(self, seconds: int) -> None:
        """Be so far from the real time from now on."""
        # Whole at any moment: it is read whenever somebody asks for the time.
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.rename(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process is started with, so that it reads this clock."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def library() -> Path:
    """Return the library that comes with the wheel of the same name."""
    [found] = [file for file in files("libfaketime") or () if file.name == _LIBRARY]
    return Path(str(found.locate()))


async def start_with(cluster: Cluster, clock: MovableClock) -> Worker:
    """Start a worker that reads this clock."""
    worker = cluster.launch_apart(**clock.environment)
    await cluster.registered(worker)
    return worker


@row("clock jumps by an hour, forwards and back", "I1 I3 I4")
async def test_a_clock_that_jumps_by_an_hour_fires_nothing_twice_and_skips_nothing(
    cluster: Cluster, tmp_path: Path, long: bool
) -> None:
    """Also while another worker has the right time, and with runs under way."""
    clocks = [MovableClock(tmp_path / f"clock-{number}") for number in range(2)]
    for clock in clocks:
        clock.jump(0)
        await start_with(cluster, clock)
    await cluster.every_second()
    await cluster.every_second(job_id=await cluster.job("witnessed", seconds=1.5))
    await cluster.succeed(2)
    for number in range(8 if long else 2):
        clock = clocks[number % 2]
        for seconds in (3600, -3600):
            clock.jump(seconds)
            await cluster.succeed(4)
        # It was felt: the watchdog has seen it at least once.
        await cluster.until("SELECT 1 FROM health_finding WHERE code = 'CLOCK_SKEW'")
        clock.jump(0)
        await cluster.succeed(4)
    assert len(cluster.running) == 2
    await cluster.check_end()
