"""Say in words what a cron expression means, exactly.

English is ours. cron-descriptor serves the other languages where it is right (`foreign_words.py`);
it loses `L-3` in German, leaves a hole for `1#1,3#3` and cannot say `1,LW`. What it cannot say
correctly is said in English, which is better than wrongly.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

from app.core.time.cron import CronPattern
from app.core.time.cron_fields import WEEKDAY_FIELD, Field
from app.core.time.cron_syntax import (
    Item,
    LastDay,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
)
from app.core.time.phrases import ORDINALS, common_step, join, ordinal, runs_in_words

_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS: Final = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
_MOST_TIMES_LISTED = 6
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = 1, 2, 3, 4, 5


@cache
def locales() -> tuple[str, ...]:
    """Return the locales that cron-descriptor has."""
    files = resources.files("cron_descriptor").joinpath("locale").iterdir()
    return tuple(sorted(file.name.removesuffix(".mo") for file in files))


def describe_pattern(pattern: CronPattern, locale: str = "en") -> str:
    """Return what a compiled expression means, as one sentence without its full stop."""
    code = _locale_code(locale)
    if code is not None and _within_descriptor(pattern):
        # Imported late: processes that only fire never describe.
        from app.core.time.foreign_words import foreign_sentence

        foreign = foreign_sentence(pattern, code)
        if foreign is not None:
            return foreign
    parts = (_times(pattern), _days(pattern), _months(pattern))
    sentence = ", ".join(part for part in parts if part)
    return sentence[0].upper() + sentence[1:]


def describe_field(pattern: CronPattern, index: int) -> str:
    """Return what one of the six fields (seconds first) selects by itself."""
    values = pattern.values[index]
    if index <= _MINUTE:
        unit, whole = ("second", "minute") if index < _MINUTE else ("minute", "hour")
        return _beat(values, unit, whole)
    if index == _HOUR:
        hours = f"hour{'s' * (len(values) > 1)} {runs_in_words(values)}"
        return "every hour" if _is_open(pattern, _HOUR) else hours
    if index == _MONTH:
        return _months(pattern) or "every month"
    return _days_of_month(pattern) if index == _DAY else _days_of_week(pattern)


def _is_open(pattern: CronPattern, index: int) -> bool:
    """Return whether a field lets every value through."""
    return len(pattern.values[index]) == _size(pattern.syntax.fields[index].field)


def _size(field: Field) -> int:
    return 7 if field is WEEKDAY_FIELD else field.high - field.low + 1


def _times(pattern: CronPattern) -> str:
    seconds, minutes, hours = pattern.values[:3]
    if len(seconds) * len(minutes) * len(hours) <= _MOST_TIMES_LISTED:
        return "at " + join([_clock(h, m, s) for h in hours for m in minutes for s in seconds])
    parts = []
    if seconds != (0,):
        parts.append(_beat(seconds, "second", "minute"))
    if len(minutes) < 60 or not parts:
        on_the_hour = minutes == (0,) and not parts
        parts.append("every hour" if on_the_hour else _beat(minutes, "minute", "hour"))
    if len(hours) < 24:
        if parts == ["every hour"]:
            parts = ["on the hour"]
        parts.append(_hours(hours, last_minute=minutes[-1]))
    return ", ".join(parts)


def _clock(hour: int, minute: int, second: int = 0) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _beat(values: Sequence[int], unit: str, whole: str) -> str:
    """Say which seconds of a minute, or which minutes of an hour."""
    step = common_step(values)
    if step == 1 and len(values) == 60:
        return f"every {unit}"
    if step is not None and step > 1 and len(values) > 2 and values[-1] + step >= 60:
        start = "" if values[0] == 0 else f" from {unit} {values[0]}"
        return f"every {step} {unit}s{start}"
    return f"at {unit}{'s' * (len(values) > 1)} {runs_in_words(values)} of every {whole}"


def _hours(hours: Sequence[int], *, last_minute: int) -> str:
    step = common_step(hours)
    if len(hours) == 1 or step == 1:
        return f"from {_clock(hours[0], 0)} to {_clock(hours[-1], last_minute)}"
    if step is not None and len(hours) > 2 and hours[-1] + step >= 24:
        start = "" if hours[0] == 0 else f" from {_clock(hours[0], 0)}"
        return f"in every {ordinal(step)} hour{start}"
    return "in the hours " + join([f"{hour:02}" for hour in hours])


def _days(pattern: CronPattern) -> str:
    any_day, any_weekday = _is_open(pattern, _DAY), _is_open(pattern, _WEEKDAY)
    if not pattern.needs_both_days and not (any_day or any_weekday):
        by_day, by_weekday = _days_of_month(pattern), _days_of_week(pattern)
        return f"{by_day}, and also {by_weekday} (a day that matches either is due)"
    if any_day and any_weekday:
        # "At 02:30" alone leaves open whether that is every day.
        times = len(pattern.values[_MINUTE]) * len(pattern.values[_HOUR])
        return "every day" if times <= _MOST_TIMES_LISTED else ""
    if any_weekday:
        return _days_of_month(pattern) if pattern.needs_both_days else "every day"
    if any_day:
        return _days_of_week(pattern) if pattern.needs_both_days else "every day"
    weekday = _days_of_week(pattern).removeprefix("on ").replace(" and ", " or ")
    return f"{_days_of_month(pattern)} if that is also {weekday}"


def _days_of_month(pattern: CronPattern) -> str:
    if _is_open(pattern, _DAY):
        return "on every day of the month"
    phrases = [_special_day(item) for item in pattern.syntax.fields[_DAY].items]
    values = pattern.values[_DAY]
    step = common_step(values)
    if step is not None and step > 1 and len(values) > 2 and values[-1] + step > 31:
        phrases.insert(0, f"every {ordinal(step)} day from day {values[0]} of the month")
    elif values:
        days = f"day{'s' * (len(values) > 1)} {runs_in_words(values)}"
        phrases.insert(0, f"{days} of the month")
    return "on " + join([phrase for phrase in phrases if phrase])


def _days_of_week(pattern: CronPattern) -> str:
    if _is_open(pattern, _WEEKDAY):
        return "on every day of the week"
    values = pattern.values[_WEEKDAY]
    # The weekend is read from Saturday to Sunday.
    if 0 in values and 6 in values and 1 not in values:
        values = (*values[1:], 7)
    phrases = [_special_day(item) for item in pattern.syntax.fields[_WEEKDAY].items]
    phrases.insert(0, runs_in_words(values, _WEEKDAYS.__getitem__))
    return "on " + join([phrase for phrase in phrases if phrase])


def _special_day(item: Item) -> str:
    words = ""
    match item:
        case LastDay(0):
            words = "the last day of the month"
        case LastDay(1):
            words = "the day before the last day of the month"
        case LastDay(before):
            words = f"the day {before} days before the last of the month"
        case LastWorkday():
            words = "the last weekday (Monday to Friday) of the month"
        case NearestWorkday(day):
            words = f"the weekday (Monday to Friday) nearest to day {day} of the month"
        case NthWeekday(weekday, nth):
            which = "last" if nth is None else ORDINALS[nth]
            words = f"the {which} {_WEEKDAYS[weekday]} of the month"
    return words


def _months(pattern: CronPattern) -> str:
    if _is_open(pattern, _MONTH):
        return ""
    return "in " + runs_in_words(pattern.values[_MONTH], lambda month: _MONTHS[month - 1])


def _locale_code(locale: str) -> str | None:
    """Return cron-descriptor's name of a locale; None for English and for what it lacks."""
    wanted = locale.replace("-", "_").casefold()
    language = wanted.partition("_")[0]
    if language == "en":
        return None
    near = [code for code in locales() if code.casefold().startswith(f"{language}_")]
    return next((code for code in near if code.casefold() == wanted), near[0] if near else None)


def _within_descriptor(pattern: CronPattern) -> bool:
    day, weekday = pattern.syntax.fields[_DAY], pattern.syntax.fields[_WEEKDAY]
    if not (_is_open(pattern, _DAY) or _is_open(pattern, _WEEKDAY)):
        return False
    for part in (day, weekday):
        specials = [item for item in part.items if _special_day(item)]
        if specials and (len(part.items) > 1 or _counts_back(specials[0])):
            return False
    return True


def _counts_back(item: Item) -> bool:
    return isinstance(item, LastDay) and item.before > 0
