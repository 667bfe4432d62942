"""The same expressions through cronsim, which follows Debian's cron.

Whatever differs is explained here by name; nothing else may differ.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.time import CronTiming, Timetable
from tests.core.time.oracle import CHANGES, STEADY, Expected, expressions

places = st.sampled_from(CHANGES) | st.tuples(st.sampled_from(STEADY), st.just(CHANGES[0][1]))
COUNT = 8


def theirs(expression: str, base: datetime, zone: str) -> list[datetime]:
    """Return cronsim's next few instants, less what it is known to repeat."""
    simulated = CronSim(expression, base.astimezone(ZoneInfo(zone)))
    found: list[datetime] = []
    while len(found) < COUNT:
        try:
            at = next(simulated).astimezone(UTC)
        except StopIteration:
            break
        # From a base in the second pass of a fold it goes back to the first.
        if at > (found[-1] if found else base):
            found.append(at)
    return found


def ours(expression: str, base: datetime, zone: str) -> list[datetime]:
    """Return our next few instants."""
    try:
        timetable = Timetable.of([CronTiming(expression)], timezone=zone)
    except Invalid as error:
        if "never fires" not in error.message:
            raise
        return []
    return [o.nominal for o in timetable.between(base, base + timedelta(days=40 * 366), COUNT)]


ONE_VALUE_WITH_STEP = re.compile(r"(?<![\w])0*(\w+)-0*(\w+)/\d+")


def has_range_of_one(expression: str) -> bool:
    """Whether a range such as 5-5/2 occurs: cronsim reads it as 5/2, "from 5 on"."""
    ranges = ONE_VALUE_WITH_STEP.findall(expression)
    # A name on either side may spell the same value: those are left out as well.
    return any(first == last or not (first + last).isdigit() for first, last in ranges)


# Thousands of expressions, several around each change: making one costs less than choosing a case.
@settings(max_examples=max(settings().max_examples, 100))
@given(
    st.lists(expressions(), min_size=20, max_size=20),
    places,
    st.integers(-30 * 3600, 30 * 3600),
)
def test_every_next_instant_agrees_with_cronsim(
    many: list[Expected], place: tuple[str, datetime], offset: int
) -> None:
    for expected in many:
        agrees_with_cronsim(expected, place, offset)


def agrees_with_cronsim(expected: Expected, place: tuple[str, datetime], offset: int) -> None:
    """Assert that the next few instants are the same, but for what is explained here."""
    zone, change = place
    base = (change + timedelta(seconds=offset)).replace(microsecond=0)
    expression = expected.text
    # See the tests below.
    if has_range_of_one(expression):
        return
    if zone == "Australia/Lord_Howe" and expected.is_elapsed:
        return
    try:
        simulated = theirs(expression, base, zone)
    except CronSimError:
        return
    assert ours(expression, base, zone) == simulated, expression


def test_cronsim_reads_a_range_of_one_value_with_a_step_as_a_start() -> None:
    base = datetime(2025, 1, 1, 0, 30, tzinfo=UTC)
    assert ours("5-5/20 * * * *", base, "UTC")[0] == datetime(2025, 1, 1, 1, 5, tzinfo=UTC)
    assert theirs("5-5/20 * * * *", base, "UTC")[0] == datetime(2025, 1, 1, 0, 45, tzinfo=UTC)


def test_cronsim_goes_back_into_the_first_pass_from_the_second() -> None:
    # New York, 3 November 2024: 06:10Z is 01:10 for the second time.
    base = datetime(2024, 11, 3, 6, 10, tzinfo=UTC)
    simulated = CronSim("15 0-23 * * *", base.astimezone(ZoneInfo("America/New_York")))
    assert next(simulated).astimezone(UTC) < base
    assert ours("15 0-23 * * *", base, "America/New_York")[0] > base


def test_cronsim_loses_the_first_half_hour_after_a_gap_of_half_an_hour() -> None:
    # Lord Howe went from 02:00 to 02:30 on 5 October 2025; cronsim goes on in whole hours.
    base = datetime(2025, 10, 4, 15, 30, tzinfo=UTC)
    midnight = datetime(2025, 10, 5, 13, tzinfo=UTC)
    assert ours("* 0 * * *", base, "Australia/Lord_Howe")[0] == midnight
    half_past = midnight + timedelta(minutes=30)
    assert theirs("* 0 * * *", base, "Australia/Lord_Howe")[0] == half_past
