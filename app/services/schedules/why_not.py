"""Explain what happened, or will happen, to a schedule at any instant, and why.

The ledger answers first: the run or record of the occurrence, or the range it lies in. Where there
is none, the answer follows from what the schedule was at that instant, which its versions tell: its
timings then, not now. Only reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any

from app.core.overrides import Override, occurrence_at
from app.core.time import Occurrence, Timetable
from app.core.vocabulary import (
    OccurrenceAction,
    Outcome,
    RunReason,
    RunState,
    SchedulerState,
    ScheduleState,
)
from app.models import ApiToken, OccurrenceOverride, Run, Schedule
from app.services.schedules.accounting import in_window
from app.services.schedules.owning import read_owners, why_powerless
from app.services.schedules.timetables import Calendars, load_calendars, timetable_of
from app.services.schedules.upcoming import spacing_of, starts_after
from app.services.schedules.why_words import (
    actor,
    in_words,
    moment,
    not_run,
    not_run_because,
    paused,
    ran,
    why_quarantined,
)
from app.store.database import ReadConnection
from app.store.instants import read_now
from app.store.ledger import read_backfilled, read_range_over, read_record
from app.store.overrides import override_of, read_override
from app.store.projects import read_project
from app.store.status import Control, read_control
from app.store.versions import columns_of, read_version_in_force

_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer."""

    at: datetime
    is_occurrence: bool
    outcome: Outcome
    message: str
    reason: RunReason | None = None
    nearest: tuple[Occurrence, ...] = ()
    run: Run | None = None


async def explain_instant(
    connection: ReadConnection, schedule: Schedule, at: datetime
) -> Explanation:
    """Answer for one schedule and one instant, past or future."""
    as_of = await read_now(connection)
    columns = schedule.model_dump()
    if at > as_of:
        return await _by_itself(connection, schedule, columns, at, as_of)
    version = await read_version_in_force(connection, schedule.id, at)
    columns |= {} if version is None else columns_of(version.snapshot)
    first = await _by_itself(connection, schedule, columns, at, as_of)
    again = await read_backfilled(connection, schedule.id, at)
    return first if again is None else _with_backfill(first, again, columns, as_of)


def _with_backfill(
    first: Explanation, again: Run, columns: Mapping[str, Any], as_of: datetime
) -> Explanation:
    """Tell of the run that a backfill made, beside what became of the occurrence by itself."""
    own = _recorded(again, columns, first.at, as_of)
    if first.run is not None:
        return replace(first, message=f"{first.message} A backfill took it up: {own.message}")
    return replace(own, message=f"A backfill took it up: {own.message}")


async def _by_itself(
    connection: ReadConnection,
    schedule: Schedule,
    columns: Mapping[str, Any],
    at: datetime,
    as_of: datetime,
) -> Explanation:
    """Answer without regard to backfills."""
    record = await read_record(connection, schedule.id, at)
    if record is not None:
        return _recorded(record, columns, at, as_of)
    if at < schedule.created_at:
        created = moment(schedule.created_at, schedule.timezone)
        return Explanation(
            at,
            is_occurrence=False,
            outcome=Outcome.BEFORE_CREATION,
            message=f"The schedule did not exist: it was created at {created}.",
        )
    project = await read_project(connection, schedule.project_id)
    retention = timedelta(seconds=0 if project is None else project.retention_seconds)
    owners = await read_owners(connection, [schedule.owner])
    case = _Case(
        schedule,
        columns,
        await load_calendars(connection, columns),
        at,
        as_of,
        override=await read_override(connection, schedule.id, at),
        range_=await read_range_over(connection, schedule.id, at),
        control=await read_control(connection),
        kept_since=as_of - retention,
        owner=next(iter(owners.values()), None),
    )
    return case.explain()


def _recorded(run: Run, columns: Mapping[str, Any], at: datetime, as_of: datetime) -> Explanation:
    """Explain from the ledger; `columns` are those of the schedule at that instant."""
    timezone = columns["timezone"]
    outcomes = {RunState.SKIPPED: Outcome.SKIPPED, RunState.MISSED: Outcome.MISSED}
    outcome = outcomes.get(run.state, Outcome.RAN)
    if run.state is RunState.QUEUED and run.attempt == 0:
        outcome = Outcome.WILL_RUN
    elif run.state is RunState.CANCELLED and run.started_at is None:
        outcome = Outcome.SKIPPED
    if outcome in (Outcome.SKIPPED, Outcome.MISSED):
        message = not_run(run, timezone)
        if run.reason is RunReason.PAUSED and columns["state"] is ScheduleState.PAUSED:
            message = f"{paused(columns)} {message}"
    else:
        message = ran(run, as_of, timezone)
    return Explanation(
        at, is_occurrence=True, outcome=outcome, message=message, reason=run.reason, run=run
    )


class _Case:
    """What is known about an instant without a record of its own.

    `columns` are those of the schedule as it was at that instant; as it is now, for the future.
    """

    def __init__(
        self,
        schedule: Schedule,
        columns: Mapping[str, Any],
        calendars: Calendars,
        at: datetime,
        as_of: datetime,
        *,
        override: OccurrenceOverride | None,
        range_: Run | None,
        control: Control,
        kept_since: datetime,
        owner: ApiToken | None,
    ) -> None:
        self._now = schedule
        self._then = columns
        self._calendars = calendars
        self._at = at
        self._as_of = as_of
        self._decided = None if override is None or override.orphaned else override
        self._range = range_
        self._control = control
        self._kept_since = kept_since
        # The token that the schedule acts as.
        self._owner = owner

    def explain(self) -> Explanation:
        """Answer."""
        try:
            occurrence = self._occurrence
        except Exception as error:
            if self._now.state is not ScheduleState.QUARANTINED:
                raise
            return self._answer(
                Outcome.UNKNOWN,
                f"The schedule's timings cannot be read: {error}. Mend them by an edit.",
                RunReason.QUARANTINED,
            )
        if occurrence is None:
            return self._no_occurrence()
        if self._range is not None:
            return _recorded(self._range, self._then, self._at, self._as_of)
        return self._over() or (
            self._past() if self._at <= self._as_of else self._future(occurrence)
        )

    @cached_property
    def _timetable(self) -> Timetable:
        return timetable_of(self._then, self._calendars)

    @cached_property
    def _override(self) -> Override | None:
        if self._decided is None:
            return None
        return override_of(self._decided, self._now.timezone)

    @cached_property
    def _occurrence(self) -> Occurrence | None:
        if self._override is not None:
            return self._override.occurrence(self._timetable)
        return occurrence_at(self._timetable, self._at)

    def _no_occurrence(self) -> Explanation:
        before = self._timetable.previous_before(self._at)
        after = self._timetable.next_after(self._at)
        nearest = tuple(one for one in (before, after) if one is not None)
        if not in_window(self._at, self._then):
            start, end = self._then["start_at"], self._then["end_at"]
            bounds = [f"from {self._moment(start)}"] if start else []
            bounds += [f"until {self._moment(end)}"] if end else []
            words = f"The schedule's window runs {' '.join(bounds)}."
            return self._answer(Outcome.OUTSIDE_WINDOW, words, RunReason.OUTSIDE_WINDOW, nearest)
        words = "The schedule is not due then."
        if self._at in self._now.passed_over:
            words = "What would be due then has been recorded before it was moved there."
        elif self._at <= self._as_of and self._then["timings"] != self._now.timings:
            words = "The schedule was not due then, by the timings it had at that time."
        if nearest:
            words += f" Nearest: {' and '.join(self._moment(one.nominal) for one in nearest)}."
        return self._answer(Outcome.NOT_AN_OCCURRENCE, words, nearest=nearest)

    def _over(self) -> Explanation | None:
        """Explain an instant at which the schedule was, or is, no more."""
        outcome = Outcome.SKIPPED if self._at <= self._as_of else Outcome.WILL_SKIP
        state, why = self._then["state"], self._then["state_reason"]
        if state is ScheduleState.ARCHIVED:
            words = f"The schedule was archived at {self._moment(self._then['archived_at'])}."
            return self._answer(outcome, f"{words} {why or ''}".strip(), RunReason.ARCHIVED)
        if state in (ScheduleState.COMPLETED, ScheduleState.EXPIRED):
            words = f"The schedule is {state.lower()}: {why or 'it does not fire any more.'}"
            return self._answer(
                outcome,
                f"{words} An edit that gives it a next instant revives it.",
                RunReason.LIMIT,
            )
        return None

    def _past(self) -> Explanation:
        """Explain a past occurrence without a record."""
        if self._override is not None and not self._override.is_settled:
            return self._decided_for_later()
        if self._at > self._now.cursor_at:
            return self._still_open() or self._not_fired_yet()
        if self._at < self._kept_since:
            since = self._moment(self._kept_since)
            words = f"Its record was removed: the project keeps what ended after {since}."
            return self._answer(Outcome.UNKNOWN, words)
        words = "There is no record of it, although there should be: please report this."
        return self._answer(Outcome.UNKNOWN, words)

    def _decided_for_later(self) -> Explanation:
        """Explain an occurrence whose override is still to fire."""
        assert self._decided is not None
        by, why = actor(self._decided.by), self._decided.reason
        if self._decided.action is OccurrenceAction.SKIP:
            words = f"{by} decided that it does not run: {why}"
            return self._answer(Outcome.WILL_SKIP, words, RunReason.OVERRIDDEN)
        paused = self._still_open()
        if paused is not None:
            return paused
        when = self._moment(self._decided.fires_at)
        is_added = self._decided.action is OccurrenceAction.ADD
        words = f"{by} {'added it' if is_added else f'moved it to {when}'}: {why}"
        return self._answer(Outcome.WILL_RUN, words + self._caution())

    def _still_open(self) -> Explanation | None:
        """Explain an instant in a pause or a quarantine that is not over."""
        now = self._now
        if now.state is ScheduleState.PAUSED:
            if now.paused_until is not None and self._at > max(now.paused_until, self._as_of):
                return None
            words = f"{paused(now.model_dump())} Resuming decides what becomes of this occurrence."
            if now.probe_run_id is not None:
                words += " A run has been let through: its success will resume the schedule."
            elif now.probe_at is not None:
                words += f" At {self._moment(now.probe_at)}, or at the first occurrence after "
                words += "that, one run is let through: its success will resume the schedule."
            return self._answer(Outcome.PAUSED, words, RunReason.PAUSED)
        if now.state is ScheduleState.QUARANTINED:
            outcome = Outcome.MISSED if self._at <= self._as_of else Outcome.WILL_SKIP
            reason = why_quarantined(now.last_error)
            return self._answer(outcome, not_run_because(reason), reason)
        return None

    def _not_fired_yet(self) -> Explanation:
        if self._control.state is not SchedulerState.RUNNING:
            words = (
                f"The whole scheduler is {self._control.state.lower()}, by "
                f"{actor(self._control.changed_by)} since {self._moment(self._control.changed_at)}:"
                f" {self._control.reason or 'no reason was given.'} Starting it decides what "
                "becomes of this occurrence."
            )
            return self._answer(Outcome.PAUSED, words, RunReason.STOPPED)
        late = in_words(self._as_of - self._at)
        words = (
            f"It was due {late} ago and no worker has fired it yet. Look at `scheduler`: whether "
            "a worker is online and when the last tick was. Once one ticks it runs, or is recorded "
            f"as missed, by catchUp {self._now.catch_up}."
        )
        return self._answer(Outcome.UNKNOWN, words)

    def _future(self, occurrence: Occurrence) -> Explanation:
        if self._override is not None:
            return self._decided_for_later()
        paused = self._still_open()
        if paused is not None:
            return paused
        if not occurrence.will_run:
            words = occurrence.note or "A calendar excludes it."
            return self._answer(Outcome.WILL_SKIP, words, RunReason.CALENDAR)
        return self._withheld(occurrence) or self._due(occurrence)

    def _due(self, occurrence: Occurrence) -> Explanation:
        words = f"It is due at {self._moment(occurrence.at)}"
        if occurrence.at != occurrence.nominal:
            words += f", delayed by jitter from {self._moment(occurrence.nominal)}"
        return self._answer(Outcome.WILL_RUN, f"{words}." + self._caution())

    def _withheld(self, occurrence: Occurrence) -> Explanation | None:
        """Explain what will be due and not start."""
        if self._is_beyond_max_runs():
            words = f"By then the schedule will have made all of its {self._now.max_runs:,} runs."
            return self._answer(Outcome.WILL_SKIP, words, RunReason.LIMIT)
        if self._is_too_soon(occurrence):
            words = "If the run before it starts on time, it comes too soon after that for spacing."
            return self._answer(Outcome.WILL_SKIP, words, RunReason.SPACING)
        why = None if self._owner is None else why_powerless(self._owner, occurrence.at)
        if self._owner is not None and why is not None:
            words = f"It will be refused, for the schedule acts as {self._owner.name!r}, a token "
            words += f"that by then {why}: give it another owner, by ownerId."
            return self._answer(Outcome.WILL_SKIP, words, RunReason.REJECTED)
        return None

    def _is_beyond_max_runs(self) -> bool:
        if self._now.max_runs is None:
            return False
        left = self._now.max_runs - self._now.runs_made
        if left > _MOST_COUNTED:
            return False
        since = max(self._now.cursor_at, self._as_of)
        _, is_within = self._timetable.count_between(since, self._at, left)
        return not is_within

    def _is_too_soon(self, occurrence: Occurrence) -> bool:
        columns = self._now.model_dump()
        if spacing_of(columns) is None:
            return False
        starts = islice(starts_after(self._timetable, columns, self._now.cursor_at), _MOST_COUNTED)
        # Whichever is the first not to come before it: it, unless spacing passes it over.
        first = next((one for one in starts if one.nominal >= occurrence.nominal), occurrence)
        return first.nominal != occurrence.nominal

    def _caution(self) -> str:
        """Say that nothing fires at all, if that is so."""
        if self._control.state is SchedulerState.RUNNING:
            return ""
        return f" But the whole scheduler is {self._control.state} now: nothing fires."

    def _moment(self, instant: datetime) -> str:
        return moment(instant, self._now.timezone)

    def _answer(
        self,
        outcome: Outcome,
        message: str,
        reason: RunReason | None = None,
        nearest: tuple[Occurrence, ...] = (),
    ) -> Explanation:
        not_one = (Outcome.NOT_AN_OCCURRENCE, Outcome.OUTSIDE_WINDOW)
        return Explanation(
            self._at,
            is_occurrence=outcome not in not_one,
            outcome=outcome,
            message=message,
            reason=reason,
            nearest=nearest,
        )
