"""What lies ahead of all schedules: the occurrences to come, and how much work they bring.

Reads over all schedules are bounded in every direction: how many definitions are looked at, how
far, how many answers, and how long it may take. What comes back is right up to where it ends, in
the order of time; `truncated` says that there is more behind it. The computing happens on a thread
of its own, so that the other callers of the process are not kept waiting.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import structlog

from app.core.clock import elapsed_seconds
from app.core.errors import Invalid, LimitExceeded
from app.core.overrides import by_hand, overridden
from app.core.time import Occurrence, Timetable
from app.core.time.cron_syntax import parse_cron
from app.models import Schedule
from app.services.schedules.timetables import load_calendars, timetable_of
from app.store.database import ReadConnection
from app.store.filters import ScheduleFilter
from app.store.outlook import (
    Definition,
    Durations,
    read_definitions,
    read_durations,
    read_members,
    read_next_schedules,
)
from app.store.overrides import read_overrides_to_plan
from app.store.schedules import ScheduleRecord, read_schedules

MOST_DEFINITIONS = 2_000
MOST_SPREAD = 2_000
MOST_OCCURRENCES = 1_000
MOST_BUCKETS = 2_000
MOST_RUNS_READ = 20_000
LONGEST_LOOK = timedelta(days=366)
TICK = timedelta(microseconds=1)
Answer = TypeVar("Answer")
_log = structlog.get_logger(__name__)


class Budget:
    """The time a read may take to compute; what PostgreSQL takes is bounded by its own limit."""

    def __init__(self, seconds: float = 3.0) -> None:
        self._began = self._started = elapsed_seconds()
        self._seconds = seconds

    def start(self) -> None:
        """Begin to compute: what the computation needs has been read."""
        self._started = elapsed_seconds()

    @property
    def spent_seconds(self) -> float:
        """Return how long it has taken so far, with what was read."""
        return elapsed_seconds() - self._began

    @property
    def is_spent(self) -> bool:
        """Return whether it is time to answer."""
        return elapsed_seconds() - self._started >= self._seconds


@dataclass(frozen=True, slots=True)
class Course:
    """The occurrences of one definition, and how many schedules have it.

    `decided` are the occurrences that somebody skipped, moved or added; `timetable` has the others.
    """

    timetable: Timetable
    definition: Definition
    decided: Sequence[Occurrence] = ()

    def runs_at(self, instant: datetime) -> bool:
        """Return whether a run is due at exactly this instant, before jitter."""
        by_hand = any(each.at == instant and each.will_run for each in self.decided)
        return by_hand or self.timetable.matches(instant)


class Due(NamedTuple):
    """An occurrence of a walk, and the instant at which it is due: moved, but without jitter."""

    at: datetime
    occurrence: Occurrence
    course: Course


@dataclass(frozen=True, slots=True)
class Planned:
    """An occurrence of one schedule."""

    occurrence: Occurrence
    record: ScheduleRecord


@dataclass(frozen=True, slots=True)
class Upcoming:
    """Occurrences over all schedules, the earliest first."""

    planned: Sequence[Planned]
    truncated: bool
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time: how many occurrences it holds, and how much work they bring."""

    at: datetime
    occurrences: int
    expected_busy_seconds: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """How busy it is going to be, bucket by bucket."""

    buckets: Sequence[Bucket]
    truncated: bool
    elapsed_seconds: float


async def courses_of(connection: ReadConnection, definitions: Sequence[Definition]) -> list[Course]:
    """Return the courses of definitions; one that cannot be read is left out."""
    calendars = await load_calendars(connection, *(each.columns for each in definitions))
    overrides = await read_overrides_to_plan(
        connection, [each.columns["id"] for each in definitions if each.columns["has_overrides"]]
    )
    courses = []
    for definition in definitions:
        try:
            decisions = overrides.get(definition.columns["id"], ())
            timetable = timetable_of(definition.columns, calendars)
            decided = by_hand(timetable, decisions)
            courses.append(Course(overridden(timetable, decisions), definition, decided))
        except Exception:
            _log.exception("outlook.unreadable_definition")
    return courses


async def courses_by_id(
    connection: ReadConnection, schedules: Iterable[Schedule]
) -> dict[UUID, Course]:
    """Return the courses of single schedules, by their ids."""
    single = [Definition(schedule.model_dump(), 1, [schedule.id]) for schedule in schedules]
    return {
        course.definition.member_ids[0]: course for course in await courses_of(connection, single)
    }


async def read_courses(
    connection: ReadConnection,
    project_id: UUID,
    *,
    most_members: int,
    narrowed: ScheduleFilter | None = None,
) -> tuple[list[Course], bool]:
    """Return every definition in use with its timetable.

    False: there are more than are looked at, and some of the rare ones stand for the others.
    """
    definitions, total = await read_definitions(
        connection,
        project_id,
        limit=MOST_DEFINITIONS,
        most_members=most_members,
        narrowed=narrowed,
    )
    seen = sum(each.schedules for each in definitions)
    definitions = _standing_for(definitions, total - seen)
    definitions, is_counted = await _spread(connection, project_id, definitions, narrowed)
    return await courses_of(connection, definitions), total == seen and is_counted


def _standing_for(definitions: Sequence[Definition], unseen: int) -> list[Definition]:
    """Let the rarest definitions stand for those that were not read."""
    if not unseen:
        return list(definitions)
    fewest = min(each.schedules for each in definitions)
    rare = sum(1 for each in definitions if each.schedules == fewest)
    weight = fewest + max(1, round(unseen / rare))
    return [
        replace(each, schedules=weight) if each.schedules == fewest else each
        for each in definitions
    ]


async def _spread(
    connection: ReadConnection,
    project_id: UUID,
    definitions: Sequence[Definition],
    narrowed: ScheduleFilter | None,
) -> tuple[list[Definition], bool]:
    """Take definitions apart whose schedules each have a slot of their own.

    Of very many, a sample stands for all; False says so.
    """
    shared = [each for each in definitions if not uses_hash(each.columns)]
    spread = [each for each in definitions if uses_hash(each.columns)]
    if not spread:
        return shared, True
    members = await read_members(
        connection,
        project_id,
        {each.group for each in spread},
        limit=MOST_SPREAD,
        narrowed=narrowed,
    )
    found = sum(len(schedules) for schedules in members.values())
    total = sum(each.schedules for each in spread)
    weight = max(1, round(total / max(1, found)))
    single = [
        Definition(schedule.model_dump(), weight, [schedule.id], group)
        for group, schedules in members.items()
        for schedule in schedules
    ]
    return shared + single, found == total


def uses_hash(columns: Mapping[str, Any]) -> bool:
    """Return whether a definition says `H`, and so means another slot for each schedule."""
    timings = [*columns["timings"], *(columns["timing_before"] or {}).get("timings", ())]
    return any("cron" in timing and _says_hash(timing["cron"]["expression"]) for timing in timings)


def _says_hash(expression: str) -> bool:
    return "H" in expression.upper() and parse_cron(expression).uses_hash


def walk(
    courses: Sequence[Course],
    after: datetime,
    until: datetime,
    budget: Budget,
    *,
    include_excluded: bool = False,
) -> Iterator[Due]:
    """Yield what is due in (after, until] in order; raise `BudgetSpent` when time is up.

    What a calendar excludes or somebody skips is among it only if asked for.
    """
    # Instant, course, and which of those decided by hand, or 0: no two are alike in these three.
    waiting: list[tuple[datetime, int, int, Occurrence]] = []
    left = [course.definition.runs_left for course in courses]
    for index, course in enumerate(courses):
        first = course.timetable.next_after(after, include_excluded=include_excluded)
        if first is not None and first.nominal <= until:
            waiting.append((first.nominal, index, 0, first))
        for number, decided in enumerate(course.decided, 1):
            if after < decided.at <= until and (decided.will_run or include_excluded):
                waiting.append((decided.at, index, number, decided))
        if index % 256 == 0 and budget.is_spent:
            raise BudgetSpent
    heapq.heapify(waiting)
    steps = 0
    while waiting:
        at, index, number, occurrence = waiting[0]
        course, runs_left = courses[index], left[index]
        following = None
        if runs_left != 0:
            yield Due(at, occurrence, course)
            left[index] = None if runs_left is None else runs_left - occurrence.will_run
            if number == 0:
                following = course.timetable.next_after(at, include_excluded=include_excluded)
        if following is None or following.nominal > until:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (following.nominal, index, 0, following))
        steps += 1
        if steps % 256 == 0 and budget.is_spent:
            raise BudgetSpent


def instants_of(course: Course, after: datetime, until: datetime, most: int) -> list[datetime]:
    """Return the first instants at which a schedule is due in (after, until]."""
    found: list[datetime] = []
    try:
        found.extend(due.at for due in islice(walk([course], after, until, Budget()), most))
    except BudgetSpent:
        _log.warning("outlook.budget_spent")
    return found


class BudgetSpent(Exception):
    """A walk has taken as long as it may."""


async def computed(compute: Callable[[], Answer]) -> Answer:
    """Compute on a thread: the event loop has others to serve."""
    return await asyncio.to_thread(compute)


@dataclass(frozen=True, slots=True)
class Question:
    """Which occurrences: in (after, until], at most so many, of the schedules that pass."""

    after: datetime
    until: datetime
    limit: int
    narrowed: ScheduleFilter | None = None


async def read_upcoming(
    connection: ReadConnection,
    project_id: UUID,
    question: Question,
    *,
    as_of: datetime,
    budget: Budget | None = None,
) -> Upcoming:
    """Return the earliest occurrences over all schedules.

    What a calendar excludes or somebody skips is among them, as what will not run.
    """
    budget = budget or Budget()
    check_span(question.after, question.until)
    if not 0 <= question.limit <= MOST_OCCURRENCES:
        raise Invalid(f"limit lies between 0 and {MOST_OCCURRENCES:,}.", path=("limit",))
    if question.after <= as_of:
        return await _read_next(connection, project_id, question, budget)
    return await _read_later(connection, project_id, question, budget)


async def _read_next(
    connection: ReadConnection, project_id: UUID, question: Question, budget: Budget
) -> Upcoming:
    """Answer from the index on next instants.

    The earliest N occurrences belong to the N schedules that are due next, however many there are;
    what is due already and has not fired yet comes on top.
    """
    after, most = question.after, question.limit + 1
    records = await read_next_schedules(
        connection,
        project_id,
        after=after,
        until=question.until,
        limit=most,
        narrowed=question.narrowed,
    )
    due = await read_next_schedules(
        connection, project_id, after=None, until=after, limit=most, narrowed=question.narrowed
    )
    by_id = {record.schedule.id: record for record in (*records, *due)}
    courses = await courses_by_id(connection, (each.schedule for each in by_id.values()))
    budget.start()
    planned, truncated = await computed(
        lambda: _collect(list(courses.values()), by_id, question, budget)
    )
    return Upcoming(planned, truncated or len(due) == most, budget.spent_seconds)


async def _read_later(
    connection: ReadConnection, project_id: UUID, question: Question, budget: Budget
) -> Upcoming:
    """Answer from the definitions, since next instants say nothing of a later stretch."""
    courses, is_whole = await read_courses(
        connection, project_id, most_members=question.limit + 1, narrowed=question.narrowed
    )
    budget.start()
    wanted, reached = await computed(lambda: _members(courses, question, budget))
    records = await read_schedules(connection, project_id, wanted)
    single = await courses_by_id(connection, (each.schedule for each in records.values()))
    planned, truncated = await computed(
        lambda: _collect(list(single.values()), records, question, budget)
    )
    return Upcoming(planned, truncated or not is_whole or not reached, budget.spent_seconds)


def _members(
    courses: Sequence[Course], question: Question, budget: Budget
) -> tuple[set[UUID], bool]:
    """Return the schedules whose occurrences come first; False: the time was up."""
    wanted: set[UUID] = set()
    count = 0
    try:
        for due in _walk_all(courses, question, budget):
            definition = due.course.definition
            wanted.update(definition.member_ids[: question.limit + 1 - count])
            count += definition.schedules
            if count > question.limit:
                break
    except BudgetSpent:
        return wanted, False
    return wanted, True


def _walk_all(courses: Sequence[Course], question: Question, budget: Budget) -> Iterator[Due]:
    return walk(courses, question.after, question.until, budget, include_excluded=True)


def _collect(
    courses: Sequence[Course],
    records: Mapping[UUID, ScheduleRecord],
    question: Question,
    budget: Budget,
) -> tuple[list[Planned], bool]:
    planned: list[Planned] = []
    try:
        for due in _walk_all(courses, question, budget):
            if len(planned) >= question.limit:
                return planned, True
            record = records[due.course.definition.member_ids[0]]
            planned.append(Planned(due.occurrence, record))
    except BudgetSpent:
        return planned, True
    return planned, False


async def read_forecast(
    connection: ReadConnection,
    project_id: UUID,
    *,
    start: datetime,
    until: datetime,
    bucket: timedelta,
    counted_from: datetime,
    budget: Budget | None = None,
) -> Forecast:
    """Return how many occurrences and how much work each bucket holds, from `start` to `until`.

    A bucket includes its beginning and not its end. What lies before `counted_from` is not counted.
    """
    budget = budget or Budget()
    check_span(start, until)
    if bucket < timedelta(minutes=1):
        raise Invalid("A bucket lasts at least a minute.", path=("bucket",))
    if (until - start) / bucket > MOST_BUCKETS:
        raise LimitExceeded(
            f"A forecast has at most {MOST_BUCKETS:,} buckets: take longer ones.", path=("bucket",)
        )
    courses, is_whole = await read_courses(connection, project_id, most_members=0)
    by_job, _ = await read_durations(connection, project_id, limit=MOST_RUNS_READ)
    budget.start()
    buckets, reached = await computed(
        lambda: _fill(
            courses, by_job, _Span(start, until, bucket, max(start, counted_from)), budget
        )
    )
    return Forecast(buckets, not (is_whole and reached), budget.spent_seconds)


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch in buckets; `counted_from` is where counting begins, inclusive."""

    start: datetime
    until: datetime
    bucket: timedelta
    counted_from: datetime


def _fill(
    courses: Sequence[Course],
    durations: Mapping[UUID, Durations],
    span: _Span,
    budget: Budget,
) -> tuple[list[Bucket], bool]:
    """Return the buckets that are complete; False: the time was up before the last one."""
    buckets: list[Bucket] = []
    start, count, busy = span.start, 0, 0.0
    try:
        for due in walk(courses, span.counted_from - TICK, span.until - TICK, budget):
            while due.at >= start + span.bucket:
                buckets.append(Bucket(start, count, busy))
                start, count, busy = start + span.bucket, 0, 0.0
            weight = due.course.definition.schedules
            took = durations.get(due.course.definition.columns["job_id"])
            count += weight
            busy += weight * (0.0 if took is None else took.p50)
    except BudgetSpent:
        return buckets, False
    while start < span.until:
        buckets.append(Bucket(start, count, busy))
        start, count, busy = start + span.bucket, 0, 0.0
    return buckets, True


def check_span(after: datetime, until: datetime) -> None:
    """Refuse a stretch that is empty or endless."""
    if until <= after:
        raise Invalid("until must be later than from.", path=("until",))
    if until - after > LONGEST_LOOK:
        raise Invalid("from and until lie at most 366 days apart.", path=("until",))
