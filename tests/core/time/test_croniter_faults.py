"""What croniter 7.0.0 gets wrong or refuses, each beside what we do.

croniter expands our plain fields; the rest is ours for these reasons. When one of these tests
fails after an upgrade, a reason has gone.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterError, croniter

from app.core.time import CronTiming, Timetable
from app.core.time.cron import compile_cron, expand
from app.core.time.cron_syntax import parse_cron
from app.core.vocabulary import DayMatch

NEW_YORK = ZoneInfo("America/New_York")


def ours(expression: str, base: datetime, count: int, zone: str = "America/New_York") -> list[str]:
    """Return our next wall times as text."""
    timetable = Timetable.of([CronTiming(expression)], timezone=zone)
    found = timetable.between(base, base + timedelta(days=800), count)
    return [o.nominal.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M%z") for o in found]


def theirs(expression: str, base: datetime, count: int, **options: object) -> list[str]:
    """Return croniter's next wall times as text."""
    walk = croniter(expression, base.astimezone(NEW_YORK), ret_type=datetime, **options)
    return [walk.get_next().strftime("%m-%d %H:%M%z") for _ in range(count)]


def test_it_fires_a_daily_time_twice_in_a_fold() -> None:
    base = datetime(2025, 11, 2, 4, tzinfo=UTC)
    assert theirs("30 1 * * *", base, 2) == ["11-02 01:30-0400", "11-02 01:30-0500"]
    assert ours("30 1 * * *", base, 2) == ["11-02 01:30-0400", "11-03 01:30-0500"]


def test_it_gives_a_wildcard_step_an_off_grid_instant_in_a_gap() -> None:
    base = datetime(2025, 3, 9, 5, 30, tzinfo=UTC)
    assert "03-09 03:00-0400" in theirs("0 */2 * * *", base, 2)
    assert ours("0 */2 * * *", base, 2) == ["03-09 04:00-0400", "03-09 06:00-0400"]


def test_it_drifts_from_a_base_with_a_fixed_offset() -> None:
    base = datetime.fromisoformat("2025-07-01T00:00-04:00")
    walk = croniter("0 9 * * *", base, ret_type=datetime)
    winter = next(at for at in walk.all_next() if at.month == 1)
    assert winter.astimezone(NEW_YORK).hour == 8
    assert ours("0 9 1 1 *", base, 1) == ["01-01 09:00-0500"]


def test_it_puts_seconds_last() -> None:
    base = datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert croniter("30 0 9 * * *", base, ret_type=datetime).get_next().hour != 9
    timetable = Timetable.of([CronTiming("30 0 9 * * *")], timezone="UTC")
    occurrence = timetable.next_after(base)
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 1, 2, 9, 0, 30, tzinfo=UTC)


def test_it_hashes_daily_when_handed_a_hash_id() -> None:
    base = datetime(2025, 1, 1, 12, tzinfo=UTC)
    hashed = croniter("@daily", base, ret_type=datetime, hash_id="a schedule").get_next()
    assert (hashed.hour, hashed.minute) != (0, 0)
    timetable = Timetable.of([CronTiming("@daily")], timezone="UTC", hash_key="a schedule")
    occurrence = timetable.next_after(base)
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("expression", ["0 0 LW * *", "0 0 * * 5L", "0 0 L-3 * *", "H * * * *"])
def test_it_refuses_what_we_read(expression: str) -> None:
    with pytest.raises(CroniterError):
        croniter.expand(expression)
    assert compile_cron(expression, DayMatch.ANY, "").ever_fires


def test_it_reads_a_range_of_one_value_as_the_whole_field() -> None:
    assert croniter.expand("5-5 * * * *")[0][0] == ["*"]
    assert expand(parse_cron("5-5 * * * *"), "")[1] == (5,)


def test_it_ends_the_week_on_saturday_in_a_step_without_end() -> None:
    # Debian's week goes on to 7, which is Sunday again.
    assert croniter.expand("0 0 * * 1/2")[0][4] == [1, 3, 5]
    assert expand(parse_cron("0 0 * * 1/2"), "")[5] == (0, 1, 3, 5)


def test_it_moves_the_nearest_weekday_into_months_that_lack_the_day() -> None:
    base = datetime(2025, 4, 1, 12, tzinfo=UTC)
    assert theirs("0 0 31W * *", base, 1) == ["04-30 00:00-0400"]
    assert ours("0 0 31W * *", base, 1) == ["05-30 00:00-0400"]


def test_its_hash_slots_of_two_fields_depend_on_each_other() -> None:
    # (crc >> n) % size: the hour follows from the same bits as the minute, shifted by one.
    slots = set()
    for number in range(500):
        (minutes, hours, *_), _ = croniter.expand(
            "H(0-31) H(0-15) * * *", hash_id=str(number).encode()
        )
        slots.add((minutes[0] >> 1 == hours[0] % 16, len(minutes)))
    assert slots == {(True, 1)}
    values = [expand(parse_cron("H(0-31) H(0-15) * * *"), str(n)) for n in range(500)]
    assert {v[1][0] >> 1 == v[2][0] for v in values} == {True, False}


def test_every_plain_weekday_expansion_is_checked_against_counting() -> None:
    for low in range(8):
        for high in range(low, 8):
            for step in range(1, 9):
                text = f"0 0 * * {low}-{high}/{step}"
                counted = tuple(sorted({day % 7 for day in range(low, high + 1, step)}))
                assert expand(parse_cron(text), "")[5] == counted, text


@pytest.mark.parametrize(("index", "size"), [(0, 60), (1, 60), (2, 24)])
def test_every_plain_time_expansion_is_checked_against_counting(index: int, size: int) -> None:
    for low in range(0, size, 3):
        for high in range(low, size, 4):
            for step in (1, 2, 7, 15, 59):
                fields = ["0"] * 3 + ["*"] * 3
                fields[index] = f"{low}-{high}/{step}"
                found = expand(parse_cron(" ".join(fields)), "")[index]
                assert found == tuple(range(low, high + 1, step)), fields


def test_our_walk_is_strictly_increasing_where_theirs_repeats() -> None:
    base = datetime(2025, 11, 1, tzinfo=UTC)
    timetable = Timetable.of([CronTiming("*/20 0-23 * * *")], timezone="America/New_York")
    found = [o.nominal for o in timetable.between(base, base + timedelta(days=3), 1_000)]
    assert all(later > earlier for earlier, later in pairwise(found))
