"""Two timetables in succession answer as one."""

from datetime import datetime, timedelta

from app.core.time import CronTiming, Timetable
from app.core.time.succession import Succession

# 1 March 2027 was a Monday. Until Wednesday noon at 12:00, afterwards at 18:00.
NOON = Timetable.of([CronTiming("0 12 * * *")], timezone="UTC")
EVENING = Timetable.of([CronTiming("0 18 * * *")], timezone="UTC")
TURN = datetime.fromisoformat("2027-03-03T12:00:00+00:00")
BOTH = Succession(NOON, TURN, EVENING)
MONDAY = datetime.fromisoformat("2027-03-01T00:00:00+00:00")
EXPECTED = [
    datetime.fromisoformat(f"2027-03-{day}:00:00+00:00")
    for day in ("01T12", "02T12", "03T12", "03T18", "04T18", "05T18")
]
FRIDAY_NIGHT = datetime.fromisoformat("2027-03-06T00:00:00+00:00")


def test_next_and_previous_walk_across_the_turn() -> None:
    forwards, instant = [], MONDAY
    for _ in EXPECTED:
        occurrence = BOTH.next_after(instant)
        assert occurrence is not None
        instant = occurrence.nominal
        forwards.append(instant)
    backwards, instant = [], FRIDAY_NIGHT
    for _ in EXPECTED:
        occurrence = BOTH.previous_before(instant)
        assert occurrence is not None
        instant = occurrence.nominal
        backwards.append(instant)
    assert forwards == EXPECTED
    assert backwards[::-1] == EXPECTED


def test_between_count_and_matches_agree() -> None:
    found = BOTH.between(MONDAY, FRIDAY_NIGHT, 100)
    assert [occurrence.nominal for occurrence in found] == EXPECTED
    assert [each.nominal for each in BOTH.between(MONDAY, FRIDAY_NIGHT, 4)] == EXPECTED[:4]
    assert BOTH.count_between(MONDAY, FRIDAY_NIGHT, 100) == (6, True)
    assert BOTH.count_between(MONDAY, FRIDAY_NIGHT, 4) == (4, False)
    assert all(BOTH.matches(instant) for instant in EXPECTED)
    assert not BOTH.matches(TURN + timedelta(days=1))
    assert not BOTH.matches(EXPECTED[0] + timedelta(hours=6))
