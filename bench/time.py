"""Next instants: ours against croniter and cronsim, in one run on one core.

    python -m bench.time

Each figure is the median of several rounds, in processor time: whoever else wants the machine
takes nothing from either side. Ratios compare figures of the same run only.
"""

import platform
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from statistics import median
from time import process_time
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from app.core.time import CronTiming, Timetable, tzdata_version
from app.core.time.cron_syntax import parse_cron
from app.core.time.timetable import _core, _next, _shared_core

ROUNDS = 5
BASE = datetime(2026, 3, 1, tzinfo=UTC)
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"]
EXPRESSIONS = [
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0 9 * * 1-5",
    "15 14 1 * *",
    "0 0 29 2 *",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
    "0 0 1,15 * 3",
]


def main() -> None:
    """Print the machine, the versions and every comparison."""
    print(f"{platform.platform()}, Python {platform.python_version()}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("croniter", "cronsim"))
    print(f"{packages}, tzdata {tzdata_version()}")
    _print_single_steps()
    _print_herd()
    _print_recomputation()
    _print_year()


def _print_single_steps() -> None:
    """One next instant from ten expressions in four zones, without our memo."""
    pairs = [(expression, zone) for expression in EXPRESSIONS for zone in ZONES]
    bases = [BASE + timedelta(hours=7 * n, minutes=n) for n in range(25)]
    count = len(pairs) * len(bases)
    tables = [Timetable.of([CronTiming(e)], timezone=zone) for e, zone in pairs]
    local = {zone: [base.astimezone(ZoneInfo(zone)) for base in bases] for zone in ZONES}

    def ours() -> None:
        _next.cache_clear()
        for table in tables:
            for base in bases:
                table.next_after(base)

    def their_walks(make: Callable[[str, datetime], object]) -> Callable[[], None]:
        def run() -> None:
            for expression, zone in pairs:
                for base in local[zone]:
                    make(expression, base)

        return run

    simulated = [[CronSim(e, base) for base in local[zone]] for e, zone in pairs]

    def cronsim_parsed() -> None:
        for (_, zone), walks in zip(pairs, simulated, strict=True):
            for walk, base in zip(walks, local[zone], strict=True):
                walk.dt = base if walk.fixup_tz is None else base.replace(tzinfo=None)
                next(walk)

    walks = [croniter(e, local[zone][0], ret_type=datetime) for e, zone in pairs]

    def croniter_parsed() -> None:
        for (_, zone), walk in zip(pairs, walks, strict=True):
            for base in local[zone]:
                walk.get_next(start_time=base)

    print("\nNext instant, microseconds each")
    own = _measure(ours) / count
    _row("ours, parsed once, no memo", own, own)
    _row("cronsim, parsed once", _measure(cronsim_parsed) / count, own)
    _row("cronsim, parsed each time", _measure(their_walks(_cronsim_next)) / count, own)
    _row("croniter, parsed once", _measure(croniter_parsed) / count, own)
    _row("croniter, parsed each time", _measure(their_walks(_croniter_next)) / count, own)


def _print_herd() -> None:
    """10,000 schedules over 200 expressions, all due at one instant: what a tick asks."""
    herd = [f"{n % 200 % 60} {n % 200 // 60} * * *" for n in range(10_000)]
    assert len(set(herd)) == 200
    base = BASE.astimezone(ZoneInfo("Europe/Berlin"))

    def ours() -> None:
        _next.cache_clear()
        _core.cache_clear()
        _shared_core.cache_clear()
        parse_cron.cache_clear()
        for number, expression in enumerate(herd):
            timing = CronTiming(expression)
            table = Timetable.of([timing], timezone="Europe/Berlin", hash_key=str(number))
            table.next_after(BASE)

    def theirs() -> None:
        for expression in herd:
            _croniter_next(expression, base)

    print("\nHerd of 10,000 schedules, 200 expressions, caches cold; microseconds each")
    own = _measure(ours) / len(herd)
    _row("ours, with the tick's memo", own, own)
    _row("croniter", _measure(theirs, rounds=2) / len(herd), own)


def _print_recomputation() -> None:
    """100,000 next instants, every base different, as after a change of zone rules."""
    tables = [Timetable.of([CronTiming(e)], timezone=zone) for e in EXPRESSIONS for zone in ZONES]

    def ours() -> None:
        for number in range(100_000):
            tables[number % len(tables)].next_after(BASE + timedelta(seconds=number))

    print(f"\n100,000 next instants recomputed: {_measure(ours, rounds=3) / 1e6:.2f} s")


def _print_year() -> None:
    """Everything due in a year."""
    print("\nA year, microseconds for each occurrence")
    for expression in ("30 2 * * *", "*/5 * * * *"):
        table = Timetable.of([CronTiming(expression)], timezone="America/New_York")
        end = BASE + timedelta(days=365)
        found = len(table.between(BASE, end, 1_000_000))

        def ours(table: Timetable = table, end: datetime = end) -> None:
            table.between(BASE, end, 1_000_000)

        def theirs(expression: str = expression, found: int = found) -> None:
            walk = croniter(
                expression, BASE.astimezone(ZoneInfo("America/New_York")), ret_type=datetime
            )
            for _ in range(min(found, 10_000)):
                walk.get_next()

        own = _measure(ours, rounds=3) / found
        _row(f"ours, {expression!r} ({found:,})", own, own)
        _row(f"croniter, {expression!r}", _measure(theirs, rounds=2) / min(found, 10_000), own)


def _cronsim_next(expression: str, base: datetime) -> object:
    return next(CronSim(expression, base))


def _croniter_next(expression: str, base: datetime) -> object:
    return croniter(expression, base, ret_type=datetime).get_next()


def _measure(action: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Return the median duration in microseconds."""
    action()
    durations = []
    for _ in range(rounds):
        began = process_time()
        action()
        durations.append((process_time() - began) * 1e6)
    return median(durations)


def _row(name: str, microseconds: float, own: float) -> None:
    print(f"  {name:<44} {microseconds:8.2f}   {microseconds / own:6.1f} x")


if __name__ == "__main__":
    main()
