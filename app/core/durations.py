"""Durations as text: the part of ISO 8601 that means a fixed length of time.

`PT15M`, `P1DT12H`, `P2W`, `PT0.25S`. Years and months are refused, because how long they last
depends on where they begin; a day is 24 hours and a week seven of those, always.
"""

import re
from datetime import timedelta

from app.core.errors import Invalid

_ALLOWED = "Write weeks (P2W), or days, hours, minutes and seconds (P1DT2H30M, PT15M, PT0.5S)."
# Nine digits keep every sum far inside what a timedelta holds; six are microseconds.
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,9})W"
    r"|(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?"
    r"(?:(?P<seconds>\d{1,9})(?:[.,](?P<fraction>\d{1,6}))?S)?)?)",
    re.ASCII,
)
_CALENDAR_UNITS = re.compile(r"P[^T]*\d[YM]")
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def parse_duration(text: str) -> timedelta:
    """Return the length of time that `text` means, or say what is wrong with it."""
    found = _DURATION.fullmatch(text)
    if found is None or text == "P":
        raise Invalid(f"{text[:40]!r} is not a duration. {_ALLOWED}", hint=_hint(text))
    amounts = {unit: int(found[unit] or 0) for unit in _UNITS}
    microseconds = int((found["fraction"] or "").ljust(6, "0"))
    try:
        return timedelta(microseconds=microseconds, **amounts)
    except OverflowError as error:
        raise Invalid(f"{text!r} is longer than any duration may be, 999999999 days.") from error


def format_duration(duration: timedelta) -> str:
    """Return the canonical text, which `parse_duration` reads back to the same length."""
    if duration < timedelta(0):
        raise AssertionError(f"A duration cannot be negative: {duration}.")
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    days = f"{duration.days}D" if duration.days else ""
    clock = (
        (f"{hours}H" if hours else "")
        + (f"{minutes}M" if minutes else "")
        + (f"{seconds}{fraction}S" if seconds or fraction else "")
    )
    if not days and not clock:
        return "PT0S"
    return f"P{days}" + (f"T{clock}" if clock else "")


def _hint(text: str) -> str | None:
    if _CALENDAR_UNITS.match(text):
        return "Years and months differ in length: say how many days, or use a calendar interval."
    if _DURATION.fullmatch(text.strip().upper()):
        return f"Write it in capitals and without spaces: {text.strip().upper()}."
    return None
