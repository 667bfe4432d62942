"""The words of cron expressions in other languages: cron-descriptor's sentences, CLDR's names.

cron-descriptor takes the names of days and months from the locale of the process, whatever locale
it is asked for; here they come from Babel. It does not know `H`, reads `59/15` as every 15
minutes and can say nothing at all in a language whose translation is incomplete.
"""

from collections.abc import Callable, Mapping

from babel import Locale
from cron_descriptor import ExpressionDescriptor, FormatError, Options

from app.core.time.cron import CronPattern
from app.core.time.cron_fields import MONTH_FIELD, WEEKDAY_FIELD
from app.core.time.cron_syntax import FieldSyntax, HashSlot, Item, NthWeekday, Span


def foreign_sentence(pattern: CronPattern, locale: str) -> str | None:
    """Return what an expression means; None if the language cannot say it."""
    options = Options(locale_code=locale, use_24hour_time_format=True)
    try:
        return str(_Descriptor(_spelt_out(pattern), options).get_full_description())
    except FormatError:
        return None


class _Descriptor(ExpressionDescriptor):  # type: ignore[misc] # The library has no types.
    """A descriptor with the names of its own language.

    It is given days and months as plain numbers in lists and ranges, `d#n` and `dL`.
    """

    def get_day_of_week_description(self) -> str:
        text = self._expression_parts[5]
        if "#" in text:
            day, _, nth = text.partition("#")
            ordinal = self.translate(("first", "second", "third", "fourth", "fifth")[int(nth) - 1])
            words = self.translate(" {0} of the month").format(self._day(day))
            return f"{self.translate(', on the ')}{ordinal}{words}"
        if "L" in text:
            last = str(self.translate(", on the last {0} of the month"))
            return last.format(self._day(text.replace("L", "")))
        return self._listed(text, self._day, ", only on {0}")

    def get_month_description(self) -> str:
        return self._listed(self._expression_parts[4], self._month, ", only in {0}")

    def _listed(self, text: str, name: Callable[[str], str], only: str) -> str:
        described: str = self.get_segment_description(
            text,
            "",
            name,
            lambda step: step,
            lambda _: self.translate(", {0} through {1}"),
            lambda _: self.translate(only),
            lambda _: self.translate(", {0} through {1}"),
        )
        return described

    def _day(self, number: str) -> str:
        # Cron's Sunday is 0; CLDR's Monday is.
        days: Mapping[int, str] = self._locale().days["format"]["wide"]
        return days[(int(number) - 1) % 7]

    def _month(self, number: str) -> str:
        # The stand-alone months of Babel 2.18 are those of whichever locale was loaded first.
        months: Mapping[int, str] = self._locale().months["format"]["wide"]
        return months[int(number)]

    def _locale(self) -> Locale:
        return Locale.parse(self._options.locale_code)


def _spelt_out(pattern: CronPattern) -> str:
    """Return the expression in terms that cron-descriptor reads correctly."""
    parts = zip(pattern.syntax.fields, pattern.values, strict=True)
    sources = [_source(part, values) for part, values in parts]
    return " ".join(sources if pattern.syntax.has_seconds else sources[1:])


def _source(part: FieldSyntax, values: tuple[int, ...]) -> str:
    if part.items and isinstance(part.items[0], NthWeekday):
        weekday, nth = part.items[0].weekday, part.items[0].nth
        return f"{weekday}L" if nth is None else f"{weekday}#{nth}"
    if part.field in (MONTH_FIELD, WEEKDAY_FIELD):
        return _values(values, 7 if part.field is WEEKDAY_FIELD else 12)
    return ",".join(map(str, values)) if any(map(_is_misread, part.items)) else part.source


def _values(values: tuple[int, ...], size: int) -> str:
    if len(values) == size:
        return "*"
    is_run = len(values) > 2 and values[-1] - values[0] == len(values) - 1
    return f"{values[0]}-{values[-1]}" if is_run else ",".join(map(str, values))


def _is_misread(item: Item) -> bool:
    match item:
        case Span(has_step=True, is_star=False) | HashSlot():
            return True
        case _:
            return False
