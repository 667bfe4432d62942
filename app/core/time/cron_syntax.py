"""Read a cron expression into fields and items, or say exactly what is wrong and where.

The grammar is ours because croniter refuses parts of it (`LW`, `5L`, `L-3`, a bare `H`), puts
seconds last and reports no position. What an item *means* is `cron.py`'s affair.

    expression = nickname | [second] minute hour day-of-month month day-of-week
    field      = item {"," item}
    item       = "*" ["/" step] | "?" | value ["-" value] ["/" step]
               | "H" ["(" value "-" value ")"] ["/" step]
    day-of-month also:  L   LW   L-n   nW
    day-of-week also:   dL  Ld   d#n
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from app.core.errors import Invalid
from app.core.time.cron_fields import (
    DAY_FIELD,
    FIELDS,
    NICKNAMES,
    SECOND_FIELD,
    WEEKDAY_FIELD,
    Field,
)

MAX_EXPRESSION: Final = 256


@dataclass(frozen=True, slots=True)
class Span:
    """Every `step`-th value from `low` to `high`; `is_star` when written as `*` or `?`."""

    low: int
    high: int
    step: int = 1
    is_star: bool = False
    has_step: bool = False


@dataclass(frozen=True, slots=True)
class HashSlot:
    """A slot between `low` and `high` that depends on the schedule; then every `step`-th."""

    low: int
    high: int
    step: int | None = None


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last day of the month, or `before` days before it."""

    before: int = 0


@dataclass(frozen=True, slots=True)
class LastWorkday:
    """The last Monday-to-Friday of the month."""


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """The Monday-to-Friday nearest to a day, within its month."""

    day: int


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The n-th such weekday of the month; the last one when `nth` is None. Sunday is 0."""

    weekday: int
    nth: int | None


Item = Span | HashSlot | LastDay | LastWorkday | NearestWorkday | NthWeekday


@dataclass(frozen=True, slots=True)
class FieldSyntax:
    """One field as written (in capitals), and where it began."""

    field: Field
    source: str
    column: int
    items: tuple[Item, ...]

    @property
    def starts_with_star(self) -> bool:
        """Vixie's test for "unrestricted": the text begins with a star, whatever follows."""
        return self.source[0] in "*?"


@dataclass(frozen=True, slots=True)
class CronSyntax:
    """A well-formed expression. `fields` are always six, seconds first."""

    fields: tuple[FieldSyntax, FieldSyntax, FieldSyntax, FieldSyntax, FieldSyntax, FieldSyntax]
    has_seconds: bool
    nickname: str | None = None

    @property
    def normalized(self) -> str:
        """The expression in capitals, single-spaced, with its nickname spelt out."""
        fields = self.fields if self.has_seconds else self.fields[1:]
        return " ".join(part.source for part in fields)

    @property
    def uses_hash(self) -> bool:
        """Whether any value depends on the schedule it belongs to."""
        return any(isinstance(item, HashSlot) for part in self.fields for item in part.items)

    @property
    def days_need_both(self) -> bool:
        """Whether, by Vixie's rule, a day must match both day fields."""
        return self.fields[3].starts_with_star or self.fields[5].starts_with_star

    @property
    def follows_elapsed_time(self) -> bool:
        """Debian's rule: the minute or the hour begins with a star."""
        return self.fields[1].starts_with_star or self.fields[2].starts_with_star


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> CronSyntax:
    """Read an expression; raise `Invalid` with the field, the position and what is allowed."""
    if len(expression) > MAX_EXPRESSION:
        raise Invalid(
            f"The expression has {len(expression)} characters; at most {MAX_EXPRESSION} are "
            "allowed.",
            column=MAX_EXPRESSION + 1,
        )
    _refuse_other_scripts(expression)
    nickname = _nickname(expression)
    words = [
        (match[0], match.start() + 1)
        for match in _WORD.finditer((NICKNAMES[nickname] if nickname else expression).upper())
    ]
    if len(words) not in (5, 6):
        raise _wrong_count(expression, words)
    has_seconds = len(words) == 6
    fields = [
        _parse_field(field, source, column)
        for field, (source, column) in zip(FIELDS[-len(words) :], words, strict=True)
    ]
    if not has_seconds:
        fields.insert(0, _ZERO_SECONDS)
    second, minute, hour, day, month, weekday = fields
    return CronSyntax((second, minute, hour, day, month, weekday), has_seconds, nickname)


_ZERO_SECONDS: Final = FieldSyntax(SECOND_FIELD, "0", 1, (Span(0, 0),))

_BLANKS = " \t\r\n\f\v"
_WORD = re.compile(rf"[^{_BLANKS}]+")
_RANGE = re.compile(r"(\*|[0-9]+|[A-Z]+)(?:-([0-9]+|[A-Z]+))?(?:/([0-9]+))?")
_HASH = re.compile(r"H(?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?")
_LAST_DAY = re.compile(r"L(?:-([0-9]+))?")
_NEAREST_WORKDAY = re.compile(r"([0-9]+)W")
_NTH_WEEKDAY = re.compile(r"([0-9]+|[A-Z]{3})#([0-9]+)")
_LAST_WEEKDAY = re.compile(r"([0-9]+|[A-Z]{3})L|L([0-9]+)")


def _refuse_other_scripts(expression: str) -> None:
    # int() reads the digits of every script, str.split() knows no-break spaces and upper() turns
    # a long s into S: beyond ASCII, what is read would not be what is seen.
    for column, character in enumerate(expression, 1):
        if not (character.isprintable() and character.isascii()) and character not in _BLANKS:
            raise Invalid(
                f"The expression has the character {character!r}; only plain letters, digits and "
                "* , - / ? # ( ) @ are allowed.",
                column=column,
            )


def _nickname(expression: str) -> str | None:
    word = expression.strip().upper()
    if not word.startswith("@"):
        return None
    if word in NICKNAMES:
        return word
    column = len(expression) - len(expression.lstrip()) + 1
    known = ", ".join(name.lower() for name in NICKNAMES)
    message = f"{_shown(word.lower())} is not a nickname; allowed are {known}."
    if word == "@REBOOT":
        message = "@reboot has no meaning here: a schedule belongs to no machine."
    if word.startswith("@EVERY"):
        message = "@every is not a cron expression; use an interval timing instead."
    near = get_close_matches(word, NICKNAMES, n=1)
    hint = f"Did you mean {near[0].lower()}?" if near else None
    raise Invalid(message, hint=hint, column=column)


def _wrong_count(expression: str, words: list[tuple[str, int]]) -> Invalid:
    expected = "minute hour day-of-month month day-of-week, optionally with second first"
    if len(words) > 6:
        return Invalid(
            f"The expression has {len(words)} fields; there are 5 or 6: {expected}. "
            "There is no field for the year.",
            column=words[6][1],
        )
    missing = ", ".join(field.name for field in FIELDS[1 + len(words) :])
    found = f"{len(words)} field{'' if len(words) == 1 else 's'}" if words else "no fields"
    return Invalid(
        f"The expression has {found}; there are 5 or 6: {expected}. Missing: {missing}.",
        column=max(1, len(expression)),
    )


def _parse_field(field: Field, source: str, column: int) -> FieldSyntax:
    items = tuple(
        _parse_item(field, text, position) for text, position in _split(field, source, column)
    )
    if source != "?" and "?" in source:
        raise Invalid(
            f"The {field.name} field is {_shown(source)}; a question mark stands alone.",
            column=column + source.index("?"),
        )
    return FieldSyntax(field, source, column, items)


def _split(field: Field, source: str, column: int) -> Iterator[tuple[str, int]]:
    for text in source.split(","):
        if not text:
            raise Invalid(
                f"The {field.name} field {_shown(source)} has an empty item; "
                f"separate values by single commas. Allowed: {field.allowed}.",
                column=column,
            )
        yield text, column
        column += len(text) + 1


def _parse_item(field: Field, text: str, column: int) -> Item:
    if text == "?" and field in (DAY_FIELD, WEEKDAY_FIELD):
        return Span(field.low, field.high, is_star=True)
    if hashed := _HASH.fullmatch(text):
        return _hash_slot(field, hashed, column)
    special = None
    if field is DAY_FIELD:
        special = _parse_day(text, column)
    elif field is WEEKDAY_FIELD:
        special = _parse_weekday(text, column)
    if special is not None:
        return special
    if plain := _RANGE.fullmatch(text):
        return _span(field, plain, column)
    raise _not_understood(field, text, column)


def _parse_day(text: str, column: int) -> Item | None:
    if text == "LW":
        return LastWorkday()
    if last := _LAST_DAY.fullmatch(text):
        before = int(last[1] or 0)
        if before > 30:
            raise Invalid(
                f"The day-of-month field has {_shown(text)}; L-n allows n from 0 to 30.",
                column=column + 2,
            )
        return LastDay(before)
    if nearest := _NEAREST_WORKDAY.fullmatch(text):
        return NearestWorkday(_value(DAY_FIELD, nearest[1], column))
    return None


def _parse_weekday(text: str, column: int) -> Item | None:
    if text == "L":
        raise _not_understood(WEEKDAY_FIELD, text, column)
    if numbered := _NTH_WEEKDAY.fullmatch(text):
        weekday = _value(WEEKDAY_FIELD, numbered[1], column) % 7
        nth = int(numbered[2])
        if not 1 <= nth <= 5:
            raise Invalid(
                f"The day-of-week field has {_shown(text)}; after # comes 1 to 5.",
                column=column + numbered.start(2),
            )
        return NthWeekday(weekday, nth)
    if last := _LAST_WEEKDAY.fullmatch(text):
        group = 1 if last[1] else 2
        weekday = _value(WEEKDAY_FIELD, last[group], column + last.start(group)) % 7
        return NthWeekday(weekday, None)
    return None


def _hash_slot(field: Field, match: re.Match[str], column: int) -> HashSlot:
    low, high = field.low, field.slot_high
    if match[1] is not None:
        low = _value(field, match[1], column + match.start(1))
        high = _value(field, match[2], column + match.start(2))
        _check_order(field, match[0], low, high, column + match.start(1))
    return HashSlot(low, high, _step(field, match, column))


def _span(field: Field, match: re.Match[str], column: int) -> Span:
    first, last = match[1], match[2]
    step = _step(field, match, column)
    if first == "*":
        if last is not None:
            raise _not_understood(field, match[0], column)
        return Span(field.low, field.high, step or 1, is_star=True, has_step=step is not None)
    low = _value(field, first, column)
    high = low
    if last is not None:
        high = _value(field, last, column + match.start(2))
        if field is WEEKDAY_FIELD and high == 0 < low:
            high = 7  # SAT-SUN: the Sunday that ends the week.
        _check_order(field, match[0], low, high, column)
    elif step is not None:
        high = field.high
    return Span(low, high, step or 1, has_step=step is not None)


def _step(field: Field, match: re.Match[str], column: int) -> int | None:
    text = match[3]
    if text is None:
        return None
    step = int(text)
    if step == 0:
        raise Invalid(
            f"The {field.name} field has {_shown(match[0])}; a step is at least 1.",
            column=column + match.start(3),
        )
    return step


def _value(field: Field, text: str, column: int) -> int:
    if not text.isdigit():
        return _named_value(field, text, column)
    number = int(text)
    if not field.low <= number <= field.high:
        raise Invalid(
            f"The {field.name} field has {_shown(text)}; allowed are {field.allowed}.",
            column=column,
        )
    return number


def _named_value(field: Field, text: str, column: int) -> int:
    if text in field.words:
        return field.words[text]
    near = get_close_matches(text[:3], field.words, n=1, cutoff=0.6)
    raise Invalid(
        f"The {field.name} field has {_shown(text)}; allowed are {field.allowed}.",
        hint=f"Did you mean {near[0]}?" if near else None,
        column=column,
    )


def _check_order(field: Field, text: str, low: int, high: int, column: int) -> None:
    if low <= high:
        return
    split = f"{low}-{field.high},{field.low}-{high}"
    raise Invalid(
        f"The {field.name} field has {_shown(text)}, a range that ends before it begins.",
        hint=f"To go past the end, write {split}.",
        column=column,
    )


def _not_understood(field: Field, text: str, column: int) -> Invalid:
    hint = None
    if field is WEEKDAY_FIELD and text == "L":
        hint = "L needs a day here: 5L is the last Friday of the month. Saturday is SAT."
    elif "L" in text or "W" in text or "#" in text:
        hint = (
            "In day-of-month: L, LW, L-3, 15W. In day-of-week: 5L (last Friday), "
            "5#2 (second Friday)."
        )
    elif "?" in text:
        hint = "A question mark stands alone, in day-of-month or day-of-week; elsewhere write *."
    return Invalid(
        f"The {field.name} field has {_shown(text)}, which is not a value, range, step or *; "
        f"allowed are {field.allowed}.",
        hint=hint,
        column=column,
    )


def _shown(text: str) -> str:
    """Return the text quoted, at a length fit for a message."""
    return repr(text if len(text) <= 40 else text[:40] + "…")
