"""The four kinds of timing, as values and in their stored form.

A timing says when, in the terms a person chose; it is compared and hashed by value, so that
equal timings share everything computed from them. Whether it makes sense is `validation.py`'s
affair: these classes hold whatever they are given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from app.core.errors import Invalid
from app.core.vocabulary import CalendarUnit, DayMatch, Frequency, TimeMode

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class CronTiming:
    """The local times a cron expression selects."""

    expression: str
    day_match: DayMatch = DayMatch.ANY
    time_mode: TimeMode = TimeMode.AUTO
    frequency: Frequency | None = None
    """Set when it was given as a frequency."""


@dataclass(frozen=True, slots=True)
class IntervalTiming:
    """Every so much elapsed time: `anchor + n * every` for each whole n.

    The anchor fixes the phase only, as in Temporal; a schedule begins with its window.
    """

    every: timedelta
    anchor: datetime


@dataclass(frozen=True, slots=True)
class CalendarIntervalTiming:
    """Every so many days, weeks, months or years at the anchor's local time.

    Day 31 in a shorter month is its last day. Like an interval's, the anchor fixes the phase.
    """

    every: int
    unit: CalendarUnit
    anchor: datetime


@dataclass(frozen=True, slots=True)
class OnceTiming:
    """One instant: aware (`at`), or on the wall clock of the schedule's zone (`local`)."""

    at: datetime | None = None
    local: datetime | None = None


Timing = CronTiming | IntervalTiming | CalendarIntervalTiming | OnceTiming

_FREQUENCIES: Final = {
    Frequency.HOURLY: CronTiming("0 * * * *", frequency=Frequency.HOURLY),
    Frequency.DAILY: CronTiming("0 0 * * *", frequency=Frequency.DAILY),
    Frequency.WEEKLY: CronTiming("0 0 * * 1", frequency=Frequency.WEEKLY),
    Frequency.MONTHLY: CronTiming("0 0 1 * *", frequency=Frequency.MONTHLY),
}


def frequency_timing(frequency: Frequency) -> CronTiming:
    """Return the cron timing that a frequency stands for."""
    return _FREQUENCIES[frequency]


def timing_to_json(timing: Timing) -> dict[str, Any]:
    """Return the stored form: one key that names the kind, over its fields."""
    match timing:
        case CronTiming():
            cron: dict[str, Any] = {
                "expression": timing.expression,
                "dayMatch": timing.day_match.value,
                "timeMode": timing.time_mode.value,
            }
            if timing.frequency is not None:
                cron["frequency"] = timing.frequency.value
            return {"cron": cron}
        case IntervalTiming():
            return {
                "interval": {
                    "everySeconds": _seconds(timing.every),
                    "anchor": timing.anchor.isoformat(),
                }
            }
        case CalendarIntervalTiming():
            return {
                "calendarInterval": {
                    "every": timing.every,
                    "unit": timing.unit.value,
                    "anchor": timing.anchor.isoformat(),
                }
            }
        case OnceTiming():
            both = {"at": timing.at, "local": timing.local}
            return {"once": {key: at.isoformat() for key, at in both.items() if at is not None}}


def timing_from_json(stored: Mapping[str, Any]) -> Timing:
    """Read the stored form back; refuse anything else, since it may come from a file."""
    if not isinstance(stored, Mapping) or len(stored) != 1:
        raise Invalid(f"A timing has exactly one of {', '.join(_READERS)}.")
    ((kind, fields),) = stored.items()
    reader = _READERS.get(kind)
    if reader is None:
        raise Invalid(f"{kind!r} is not a kind of timing; allowed are {', '.join(_READERS)}.")
    if not isinstance(fields, Mapping):
        raise Invalid("The timing's fields must be an object.", path=(kind,))
    _refuse_unknown(kind, fields)
    try:
        return reader(fields)
    except Invalid as error:
        error.under(kind)
        raise


_KEYS: Final = {
    "cron": {"expression", "dayMatch", "timeMode", "frequency"},
    "interval": {"everySeconds", "anchor"},
    "calendarInterval": {"every", "unit", "anchor"},
    "once": {"at", "local"},
}


def _refuse_unknown(kind: str, fields: Mapping[str, Any]) -> None:
    unknown = sorted(set(map(str, fields)) - _KEYS[kind])
    if unknown:
        allowed = ", ".join(sorted(_KEYS[kind]))
        raise Invalid(
            f"{unknown[0]!r} is not a field of {kind}; allowed are {allowed}.",
            path=(kind, unknown[0]),
        )


def _cron(fields: Mapping[str, Any]) -> CronTiming:
    frequency = fields.get("frequency")
    return CronTiming(
        _text(fields, "expression"),
        _word(fields, "dayMatch", DayMatch, DayMatch.ANY),
        _word(fields, "timeMode", TimeMode, TimeMode.AUTO),
        None if frequency is None else _word(fields, "frequency", Frequency),
    )


def _interval(fields: Mapping[str, Any]) -> IntervalTiming:
    seconds = fields.get("everySeconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise Invalid("The length of an interval must be a number.", path=("everySeconds",))
    try:
        every = timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise Invalid("The interval is too long.", path=("everySeconds",)) from None
    return IntervalTiming(every, _time(fields, "anchor", aware=True))


def _calendar_interval(fields: Mapping[str, Any]) -> CalendarIntervalTiming:
    every = fields.get("every")
    if isinstance(every, bool) or not isinstance(every, int):
        raise Invalid("The number of units must be a whole number.", path=("every",))
    return CalendarIntervalTiming(
        every, _word(fields, "unit", CalendarUnit), _time(fields, "anchor", aware=False)
    )


def _once(fields: Mapping[str, Any]) -> OnceTiming:
    at, local = (fields.get(key) is not None for key in ("at", "local"))
    return OnceTiming(
        _time(fields, "at", aware=True) if at else None,
        _time(fields, "local", aware=False) if local else None,
    )


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Timing]]] = {
    "cron": _cron,
    "interval": _interval,
    "calendarInterval": _calendar_interval,
    "once": _once,
}


def _seconds(duration: timedelta) -> int | float:
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Invalid(f"{key!r} must be a text.", path=(key,))
    return value


def _word(fields: Mapping[str, Any], key: str, words: type[_E], default: _E | None = None) -> _E:
    value = fields.get(key, default)
    try:
        return words(value)
    except ValueError:
        allowed = ", ".join(words)
        raise Invalid(f"{key!r} must be one of {allowed}; got {value!r}.", path=(key,)) from None


def _time(fields: Mapping[str, Any], key: str, *, aware: bool) -> datetime:
    text = _text(fields, key)
    try:
        time = _read_time(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a date and time in ISO 8601.", path=(key,)) from None
    if (time.tzinfo is not None) is not aware:
        need = "needs an offset, such as Z" if aware else "is a local time and has no offset"
        raise Invalid(f"{key!r} {need}; got {text!r}.", path=(key,))
    return time


@lru_cache(maxsize=4096)
def _read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
