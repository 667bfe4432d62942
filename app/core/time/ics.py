"""Import the days of an iCalendar file.

Every VEVENT names the days it touches; recurring ones are expanded within a window. The text is
a stranger's: its size, events, days and the work done on it are bounded, and what is not
understood is refused by name instead of being left out in silence.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from app.core.errors import Invalid
from app.core.time.calendars import MAX_DATES
from app.core.time.recurrence import days_of, parse_recurrence

MAX_ICS: Final = 1_000_000
MAX_EVENTS: Final = 2_000
MAX_RECURRING: Final = 300
_WINDOW: Final = timedelta(days=20 * 366)
_LONGEST_EVENT: Final = 366


def parse_ics(text: str, *, last: date | None = None) -> list[str]:
    """Return the days an iCalendar text names, as sorted ISO dates.

    Recurrences are expanded up to `last`, by default 20 years after they begin.
    """
    if len(text) > MAX_ICS:
        raise Invalid(f"The calendar has {len(text)} characters; at most {MAX_ICS} are allowed.")
    found: set[date] = set()
    events = _events(text)
    if sum("RRULE" in event for event in events) > MAX_RECURRING:
        raise Invalid(f"The calendar has more than {MAX_RECURRING} recurring events.")
    for event in events:
        found.update(_days_of_event(event, last))
        if len(found) > MAX_DATES:
            raise Invalid(f"The calendar names more than {MAX_DATES} days.")
    return [day.isoformat() for day in sorted(found)]


def _events(text: str) -> list[Any]:
    # A tenth of a second to import, for something few processes ever do.
    from icalendar import Calendar as IcsCalendar

    try:
        calendar = IcsCalendar.from_ical(text)
        events = list(islice(calendar.walk("VEVENT"), MAX_EVENTS + 1))
    except Exception as error:  # icalendar lets ValueError, KeyError and others through.
        raise Invalid(f"This is not an iCalendar text: {error}") from error
    if len(events) > MAX_EVENTS:
        raise Invalid(f"The calendar has more than {MAX_EVENTS} events.")
    return events


def _days_of_event(event: Any, last: date | None) -> Iterator[date]:
    name = str(event.get("SUMMARY", "an event"))[:80]
    try:
        start = _day(event.decoded("DTSTART"))
        length = _length_in_days(event)
        yield from _spread(event, start, length, last or start + _WINDOW)
    except Invalid as error:
        raise Invalid(f"In {name!r}: {error.message}") from error
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise Invalid(f"{name!r} has no usable dates: {error}") from error


def _spread(event: Any, start: date, length: int, last: date) -> Iterator[date]:
    left_out = set(_listed(event, "EXDATE"))
    starts = {start, *_listed(event, "RDATE")}
    for rule in _as_list(event.get("RRULE")):
        starts.update(days_of(parse_recurrence(rule), start, last))
        if len(starts) > MAX_DATES:
            raise Invalid(f"it names more than {MAX_DATES} days.")
    for day in starts - left_out:
        for distance in range(length):
            yield day + timedelta(days=distance)


def _length_in_days(event: Any) -> int:
    begins = event.decoded("DTSTART")
    ends = event.decoded("DTEND") if "DTEND" in event else None
    if ends is None and "DURATION" in event:
        ends = begins + event.decoded("DURATION")
    if ends is None:
        return 1
    # An end is exclusive: an all-day event ends on the day after, a timed one at its midnight.
    last = ends - timedelta(days=1) if not isinstance(ends, datetime) else ends
    if isinstance(ends, datetime) and ends > begins:
        last = ends - timedelta(microseconds=1)
    length = (_day(last) - _day(begins)).days + 1
    if length > _LONGEST_EVENT:
        raise Invalid(f"it lasts {length} days; at most {_LONGEST_EVENT} are allowed.")
    return max(1, length)


def _listed(event: Any, key: str) -> Iterator[date]:
    for values in _as_list(event.get(key)):
        for value in values.dts:
            when = value.dt[0] if isinstance(value.dt, tuple) else value.dt
            yield _day(when)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _day(when: date) -> date:
    return when.date() if isinstance(when, datetime) else when
