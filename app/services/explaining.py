"""Explain a cron expression: what it means, and when it is due next."""

from dataclasses import dataclass
from datetime import datetime

from app.core.errors import Invalid, InvalidInput
from app.core.time import CronTiming, Occurrence, Timetable, explain_cron, parse_timezone
from app.core.time.explain import CronExplanation
from app.core.vocabulary import DayMatch, DstFoldPolicy, DstGapPolicy, TimeMode

MOST_INSTANTS = 100


@dataclass(frozen=True, slots=True)
class CronQuestion:
    """What is asked about."""

    expression: str
    timezone: str
    after: datetime
    count: int
    day_match: DayMatch = DayMatch.ANY
    time_mode: TimeMode = TimeMode.AUTO
    dst_gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END
    dst_fold: DstFoldPolicy = DstFoldPolicy.FIRST
    hash_key: str = ""
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer: a meaning and the next instants, or what is wrong."""

    meaning: CronExplanation | None
    upcoming: tuple[Occurrence, ...]
    errors: tuple[Invalid, ...]


def explain(question: CronQuestion) -> Explained:
    """Answer a question about a cron expression."""
    if not 0 <= question.count <= MOST_INSTANTS:
        error = Invalid(f"count lies between 0 and {MOST_INSTANTS}.", path=("count",))
        return Explained(None, (), (error,))
    try:
        parse_timezone(question.timezone)
        meaning = _meaning(question)
    except InvalidInput as found:
        invalid = tuple(error for error in found.errors if isinstance(error, Invalid))
        return Explained(None, (), invalid)
    except Invalid as error:
        if not error.path:
            error.under("expression")
        return Explained(None, (), (error,))
    return Explained(meaning, _upcoming(question), ())


def _meaning(question: CronQuestion) -> CronExplanation:
    return explain_cron(
        question.expression,
        timezone=question.timezone,
        as_of=question.after,
        day_match=question.day_match,
        time_mode=question.time_mode,
        dst_gap=question.dst_gap,
        dst_fold=question.dst_fold,
        hash_key=question.hash_key,
        locale=question.locale,
    )


def _upcoming(question: CronQuestion) -> tuple[Occurrence, ...]:
    timetable = Timetable.of(
        [CronTiming(question.expression, question.day_match, question.time_mode)],
        timezone=question.timezone,
        dst_gap=question.dst_gap,
        dst_fold=question.dst_fold,
        hash_key=question.hash_key,
    )
    found: list[Occurrence] = []
    occurrence = timetable.next_after(question.after, include_skipped=True)
    while occurrence is not None and len(found) < question.count:
        found.append(occurrence)
        occurrence = timetable.next_after(occurrence.nominal, include_skipped=True)
    return tuple(found)
