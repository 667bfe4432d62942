"""Find schedules that get into their own or each other's way.

Five kinds: the same schedule twice; runs that usually take longer than the time between two;
several schedules of one job at one instant; more work than the workers can do; and minutes in
which many schedules are due while others are quiet, with a better slot. What is found is sorted by
severity and bounded like every read over all schedules.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from uuid import UUID

from app.core.durations import format_duration
from app.core.errors import Invalid
from app.core.time import lint_duration
from app.core.vocabulary import ConflictKind, Severity
from app.models import Schedule
from app.services.outlook import (
    LONGEST_LOOK,
    MOST_RUNS_READ,
    Budget,
    BudgetSpent,
    Course,
    computed,
    courses_by_id,
    instants_of,
    read_courses,
    walk,
)
from app.store.database import ReadConnection
from app.store.outlook import (
    Durations,
    read_duplicates,
    read_durations,
    read_durations_of,
    read_schedules_by_id,
    read_schedules_of_job,
    read_slots,
)
from app.store.schedules import find_schedules_with_definition

MOST_CONFLICTS = 200
MOST_MEMBERS = 5
FEWEST_RUNS = 5
"""Durations over fewer runs say nothing."""

_HERD = 10
_BIG_HERD = 1_000
_HERD_FACTOR = 3
_LOOKED_AT = 64
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Schedules that get into the way, from when on, and what to do about it."""

    kind: ConflictKind
    severity: Severity
    at: datetime
    schedule_ids: Sequence[UUID]
    message: str
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What was found, the worst first."""

    found: Sequence[Conflict]
    truncated: bool
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where to look: (after, until]."""

    after: datetime
    until: datetime

    @classmethod
    def of(cls, as_of: datetime, horizon: timedelta) -> "Stretch":
        """Return the stretch from now to a horizon."""
        if not timedelta(0) < horizon <= LONGEST_LOOK:
            raise Invalid("horizon lies between 0 and 366 days.", path=("horizon",))
        return cls(as_of, as_of + horizon)


async def find_conflicts(
    connection: ReadConnection,
    project_id: UUID,
    stretch: Stretch,
    *,
    least: Severity = Severity.WARNING,
    budget: Budget | None = None,
) -> Conflicts:
    """Return the conflicts among all schedules of a project."""
    budget = budget or Budget()
    courses, is_whole = await read_courses(connection, project_id, most_members=MOST_MEMBERS)
    by_job, by_schedule = await read_durations(connection, project_id, limit=MOST_RUNS_READ)
    slots = await read_slots(connection)
    found = await _duplicates(connection, project_id, stretch)
    found += await _overlaps(connection, by_schedule, stretch)
    budget.start()
    ahead = await computed(lambda: _Ahead(by_job, slots).look(courses, stretch, budget))
    found += _besides(ahead.conflicts(), found)
    chosen = [each for each in found if _RANK[each.severity] >= _RANK[least]]
    chosen.sort(key=lambda each: (-_RANK[each.severity], each.at, each.kind))
    truncated = not is_whole or ahead.truncated or len(chosen) > MOST_CONFLICTS
    return Conflicts(chosen[:MOST_CONFLICTS], truncated, budget.spent_seconds)


def _besides(found: Sequence[Conflict], known: Sequence[Conflict]) -> list[Conflict]:
    """Leave out that duplicates also meet: it has been said."""
    twins = [set(each.schedule_ids) for each in known if each.kind is ConflictKind.DUPLICATE]
    return [
        each
        for each in found
        if each.kind is not ConflictKind.SAME_JOB_SAME_INSTANT
        or not any(set(each.schedule_ids) <= group for group in twins)
    ]


async def find_conflicts_of(
    connection: ReadConnection, schedule: Schedule, stretch: Stretch
) -> list[Conflict]:
    """Return the conflicts of one schedule with itself and with others of its job."""
    courses = await courses_by_id(connection, [schedule])
    if not courses:
        return []
    return await conflicts_of_course(
        connection,
        courses[schedule.id],
        stretch,
        schedule.project_id,
        schedule_id=schedule.id,
        job_id=schedule.job_id,
        definition_hash=schedule.definition_hash,
    )


async def conflicts_of_course(
    connection: ReadConnection,
    course: Course,
    stretch: Stretch,
    project_id: UUID,
    *,
    schedule_id: UUID | None,
    job_id: UUID,
    definition_hash: str,
) -> list[Conflict]:
    """Return the conflicts of a schedule that exists, or of one that may be created."""
    itself = [] if schedule_id is None else [schedule_id]
    twins = [
        id_
        for id_ in await find_schedules_with_definition(
            connection, project_id, definition_hash, limit=MOST_MEMBERS + 1
        )
        if id_ != schedule_id
    ]
    found = []
    if twins:
        found.append(_duplicate(itself + twins[:MOST_MEMBERS], len(itself + twins), stretch.after))
    took = await read_durations_of(connection, job_id=job_id, schedule_id=schedule_id, limit=500)
    overlap = _overlap(course, took, stretch, itself)
    found += [] if overlap is None else [overlap]
    found += await _same_instants(connection, course, stretch, job_id, itself, set(twins))
    return found


async def _duplicates(
    connection: ReadConnection, project_id: UUID, stretch: Stretch
) -> list[Conflict]:
    return [
        _duplicate(each.member_ids, each.schedules, stretch.after)
        for each in await read_duplicates(
            connection, project_id, limit=MOST_CONFLICTS, most_members=MOST_MEMBERS
        )
    ]


def _duplicate(ids: Sequence[UUID], count: int, at: datetime) -> Conflict:
    return Conflict(
        ConflictKind.DUPLICATE,
        Severity.WARNING,
        at,
        ids,
        f"{count:,} schedules have the same job, timings, zone and parameters.",
        "Archive all but one, or give them different parameters.",
    )


async def _overlaps(
    connection: ReadConnection, durations: Mapping[UUID, Durations], stretch: Stretch
) -> list[Conflict]:
    """Look at the schedules whose runs take longest."""
    longest = sorted(durations, key=lambda id_: durations[id_].p95, reverse=True)
    schedules = await read_schedules_by_id(connection, longest[:MOST_CONFLICTS])
    active = [each for each in schedules.values() if each.next_run_at is not None]
    courses = await courses_by_id(connection, active)
    found = [_overlap(course, durations[id_], stretch, [id_]) for id_, course in courses.items()]
    return [each for each in found if each is not None]


def _overlap(
    course: Course, took: Durations | None, stretch: Stretch, ids: Sequence[UUID]
) -> Conflict | None:
    if took is None or took.runs < FEWEST_RUNS:
        return None
    usual = timedelta(seconds=took.p95)
    pairs = pairwise(instants_of(course, stretch.after, stretch.until, _LOOKED_AT))
    at, shortest = min(
        ((before, after - before) for before, after in pairs),
        key=lambda pair: pair[1],
        default=(None, None),
    )
    if at is None or shortest is None:
        return None
    lint = lint_duration(usual, shortest)
    if lint is None:
        return None
    return Conflict(
        ConflictKind.OVERLAP_WITH_SELF,
        Severity.CRITICAL if timedelta(seconds=took.p50) > shortest else Severity.WARNING,
        at,
        ids,
        f"{lint.message} (95% of its last {took.runs} runs took at most "
        f"{format_duration(timedelta(seconds=round(took.p95)))}.)",
        "Run it less often, or choose what happens to overlapping runs by `overlap`.",
    )


async def _same_instants(
    connection: ReadConnection,
    course: Course,
    stretch: Stretch,
    job_id: UUID,
    itself: Sequence[UUID],
    twins: set[UUID],
) -> list[Conflict]:
    """Compare a schedule with the other schedules of its job."""
    others = [
        schedule
        for schedule in await read_schedules_of_job(connection, job_id, limit=_LOOKED_AT)
        if schedule.id not in twins and schedule.id not in itself
    ]
    instants = instants_of(course, stretch.after, stretch.until, _LOOKED_AT)
    found = []
    for id_, theirs in (await courses_by_id(connection, others)).items():
        meeting = next((instant for instant in instants if theirs.runs_at(instant)), None)
        if meeting is not None:
            found.append(_same_instant([*itself, id_], 1 + len(itself or [id_]), meeting))
    return found


def _same_instant(ids: Sequence[UUID], count: int, at: datetime) -> Conflict:
    return Conflict(
        ConflictKind.SAME_JOB_SAME_INSTANT,
        Severity.WARNING,
        at,
        ids,
        f"{count:,} schedules run the same job at {_shown(at)}.",
        "Move one of them, or limit the job's concurrency.",
    )


@dataclass(slots=True)
class _Minute:
    """What is due in one minute."""

    schedules: int = 0
    ids: list[UUID] = field(default_factory=list)


class _Ahead:
    """What a walk over all occurrences to come has seen."""

    def __init__(self, durations: Mapping[UUID, Durations], slots: int) -> None:
        self._durations = durations
        self._slots = slots
        self._minutes: defaultdict[datetime, _Minute] = defaultdict(_Minute)
        self._busy: defaultdict[datetime, float] = defaultdict(float)
        self._meetings: dict[tuple[UUID, ...], Conflict] = {}
        self.truncated = False

    def look(self, courses: Sequence[Course], stretch: Stretch, budget: Budget) -> "_Ahead":
        """Walk until the end of the stretch or of the budget."""
        instant, together = stretch.after, list[Course]()
        try:
            for due in walk(courses, stretch.after, stretch.until, budget):
                if due.at != instant:
                    self._meet(instant, together)
                    instant, together = due.at, []
                together.append(due.course)
                self._count(due.at, due.course)
        except BudgetSpent:
            self.truncated = True
        else:
            self._meet(instant, together)
        return self

    def _count(self, at: datetime, course: Course) -> None:
        minute = self._minutes[at.replace(second=0, microsecond=0)]
        minute.schedules += course.definition.schedules
        if len(minute.ids) < MOST_MEMBERS:
            minute.ids.extend(course.definition.member_ids[: MOST_MEMBERS - len(minute.ids)])
        took = self._durations.get(course.definition.columns["job_id"])
        if took is not None:
            hour = at.replace(minute=0, second=0, microsecond=0)
            self._busy[hour] += took.p50 * course.definition.schedules

    def _meet(self, instant: datetime, together: Sequence[Course]) -> None:
        """Note the first meeting of each set of schedules of one job."""
        if len(self._meetings) >= MOST_CONFLICTS:
            return
        by_job: defaultdict[UUID, list[Course]] = defaultdict(list)
        for course in together:
            by_job[course.definition.columns["job_id"]].append(course)
        for courses in by_job.values():
            count = sum(course.definition.schedules for course in courses)
            if count < 2:
                continue
            members = [id_ for course in courses for id_ in course.definition.member_ids]
            group = tuple(course.definition.member_ids[0] for course in courses)
            if group not in self._meetings:
                self._meetings[group] = _same_instant(members[:MOST_MEMBERS], count, instant)

    def conflicts(self) -> list[Conflict]:
        """Return what was found."""
        return [*self._meetings.values(), *self._herds(), *self._saturations()]

    def _herds(self) -> Iterator[Conflict]:
        """Yield each minute of an hour that is crowded, once however many days it comes up."""
        known: set[int] = set()
        for at in sorted(self._minutes):
            minute = self._minutes[at]
            if minute.schedules < _HERD or at.minute in known:
                continue
            around = self._hour_of(at)
            if minute.schedules < _HERD_FACTOR * max(1, median(around.values())):
                continue
            known.add(at.minute)
            yield _herd(at, minute, around)

    def _hour_of(self, at: datetime) -> dict[int, int]:
        """Return how many schedules are due in each minute of an hour."""
        start = at.replace(minute=0)
        minutes = (self._minutes.get(start + number * _MINUTE) for number in range(60))
        return {
            number: 0 if minute is None else minute.schedules
            for number, minute in enumerate(minutes)
        }

    def _saturations(self) -> Iterable[Conflict]:
        """Return the first hour that brings more work than the workers can do in it."""
        capacity = self._slots * _HOUR.total_seconds()
        too_much = [at for at, seconds in sorted(self._busy.items()) if seconds > capacity > 0]
        for at in too_much[:1]:
            yield Conflict(
                ConflictKind.QUEUE_SATURATION,
                Severity.CRITICAL,
                at,
                [],
                f"The hour from {_shown(at)} on brings about {self._busy[at]:,.0f} seconds of "
                f"work; {self._slots:,} slots do {capacity:,.0f}.",
                "Start another worker, or move some schedules to a quieter hour.",
            )


def _herd(at: datetime, minute: _Minute, around: Mapping[int, int]) -> Conflict:
    # The quietest minute; among equals the farthest from the full hour's own herd.
    quietest = min(around, key=lambda number: (around[number], abs(number - 30), number))
    slot = at.replace(minute=quietest)
    return Conflict(
        ConflictKind.HERD,
        Severity.CRITICAL if minute.schedules >= _BIG_HERD else Severity.WARNING,
        at,
        minute.ids,
        f"{minute.schedules:,} schedules are due in the minute of {_shown(at)}.",
        f"Minute {quietest} of that hour, {slot:%H:%M} UTC, has {around[quietest]:,}; "
        "or write H for the minute, and each schedule gets one of its own.",
    )


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at.second else f"{at:%Y-%m-%d %H:%M} UTC"
