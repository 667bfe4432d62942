"""Decide whether a queued run that is due may start.

The overlap policy, spacing and maxRuns of its schedule and the limits of jobs and queues as one
pure function. They are judged when a run is due to start, not when it is fired: only then is it
known what is still busy, and what has started.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from app.core.firing import GRACE
from app.core.vocabulary import OverlapPolicy, RunReason

MOST_WAITING = 1_000
"""How many runs of one schedule `QUEUE_ALL` lets wait, unless the schedule says fewer."""

MOST_CRASHES = 3
"""A run that has lost so many workers is not tried again."""

SUSPECT_CRASHES = MOST_CRASHES - 1
"""A run that has lost so many workers is suspected to kill them, and kept apart from its like.

Whatever shares a worker with a run that kills it is lost with it, and counts the same crashes.
"""


class Verdict(StrEnum):
    """What becomes of a candidate."""

    START = "START"
    SKIP = "SKIP"
    WAIT = "WAIT"
    """Stays queued, out of the queue's way, until a run of its schedule or job ends, or a sweep."""
    HOLD = "HOLD"
    """As WAIT, until its queue has a free slot, or is no longer paused."""
    LEAVE = "LEAVE"
    """Somebody else is judging this schedule at this moment: look again at once."""


_WAITING = frozenset({Verdict.WAIT, Verdict.HOLD})

Order = tuple[int, datetime, UUID]
"""Where a run stands among those of its schedule: by tier, then by due instant, then by id."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued run that is due."""

    run_id: UUID
    job_id: UUID
    schedule_id: UUID | None
    overlap: OverlapPolicy
    due_at: datetime
    is_retry: bool
    # Whether this worker holds the right to judge the schedule.
    is_judge: bool
    queue: str = "default"
    # 0 for a live run, 1 for one that is caught up, 2 for a backfill's.
    tier: int = 0
    # How many runs of its schedule may wait with QUEUE_ALL.
    most_waiting: int = MOST_WAITING
    # It was fired by its schedule: spacing and maxRuns are about these only.
    is_scheduled: bool = True
    # It has lost SUSPECT_CRASHES workers or more.
    is_suspect: bool = False
    # Whom its schedule acts as may not trigger it any more.
    is_refused: bool = False

    @property
    def order(self) -> Order:
        """Return where it stands."""
        return (self.tier, self.due_at, self.run_id)


@dataclass(slots=True)
class Busyness:
    """What else a schedule has under way, apart from the candidates still to be judged."""

    # Running, or waiting for a retry.
    running: list[UUID] = field(default_factory=list)
    # Queued and due.
    waiting: list[Order] = field(default_factory=list)


@dataclass(slots=True)
class Allowance:
    """What a schedule with a spacing or a maxRuns still allows."""

    as_of: datetime
    # Of maxRuns; None: any number.
    runs_left: int | None = None
    spacing: timedelta | None = None
    last_start_at: datetime | None = None
    # What this judgement has used: how many of maxRuns, and whether anything starts at all.
    runs_used: int = 0
    is_used: bool = False

    def refuse(self, candidate: Candidate) -> RunReason | None:
        """Return why a run may not start any more; None if it may.

        What somebody asked for by hand always may: these limits are about what fires by itself.
        """
        if candidate.is_retry or not candidate.is_scheduled:
            return None
        if self.runs_left is not None and self.runs_used >= self.runs_left:
            return RunReason.LIMIT
        if self.spacing is None or self.last_start_at is None:
            return None
        is_too_soon = self._start_of(candidate) - self.last_start_at < self.spacing
        return RunReason.SPACING if is_too_soon else None

    def note_start(self, candidate: Candidate) -> None:
        """Count a run that starts; also one that was asked for keeps the next one at a distance."""
        if candidate.is_retry:
            return
        self.is_used = True
        self.runs_used += candidate.is_scheduled
        start_at = self._start_of(candidate)
        self.last_start_at = max(self.last_start_at or start_at, start_at)

    def _start_of(self, candidate: Candidate) -> datetime:
        # A run that is just late counts as on time: with a spacing of a minute, a schedule that
        # runs every minute would else skip each one that starts a millisecond less late than the
        # one before.
        return candidate.due_at if self.as_of - candidate.due_at <= GRACE else self.as_of


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of each candidate, and the runs under way that `CANCEL_RUNNING` replaces.

    `reasons`: why those do not run that are skipped.
    """

    verdicts: dict[UUID, Verdict]
    cancelled: tuple[UUID, ...]
    reasons: dict[UUID, RunReason] = field(default_factory=dict)


def judge_starts(
    candidates: Iterable[Candidate],
    *,
    busy: Mapping[UUID, Busyness],
    free_job_slots: Mapping[UUID, int],
    free_queue_slots: Mapping[str, int] = MappingProxyType({}),
    allowances: Mapping[UUID, Allowance] = MappingProxyType({}),
    has_suspect: bool = False,
) -> Judgement:
    """Judge the candidates in order; each that starts or waits counts for those behind it.

    `free_job_slots` holds the jobs that have a limit, `free_queue_slots` the queues that have one
    or are paused. Starts are noted in `allowances`, which holds the schedules that have a spacing
    or a maxRuns. `has_suspect`: the worker is executing a suspect, and gets no second one.
    """
    ordered = list(candidates)
    verdicts: dict[UUID, Verdict] = {}
    cancelled: dict[UUID, None] = {}
    reasons: dict[UUID, RunReason] = {}
    free, free_in_queue = dict(free_job_slots), dict(free_queue_slots)
    known = _with_retries(ordered, busy)
    for candidate in ordered:
        facts = known[candidate.schedule_id] if candidate.schedule_id else Busyness()
        allowance = allowances.get(candidate.schedule_id) if candidate.schedule_id else None
        verdict = _judge_overlap(candidate, facts)
        # Before it makes anything wait or end: a run that may not start replaces none.
        refused = _refuse(candidate, allowance)
        if refused is not None and verdict is not Verdict.LEAVE:
            verdict = Verdict.SKIP
        if verdict is Verdict.SKIP:
            reasons[candidate.run_id] = refused or RunReason.OVERLAP
        if verdict is Verdict.WAIT and candidate.overlap is OverlapPolicy.CANCEL_RUNNING:
            cancelled.update(dict.fromkeys(facts.running))
        if verdict is Verdict.START and free.get(candidate.job_id, 1) <= 0:
            verdict = Verdict.WAIT
        if verdict is Verdict.START and free_in_queue.get(candidate.queue, 1) <= 0:
            verdict = Verdict.HOLD
        if verdict is Verdict.START and candidate.is_suspect:
            verdict = Verdict.WAIT if has_suspect else Verdict.START
            has_suspect = True
        verdicts[candidate.run_id] = verdict
        if verdict is Verdict.START and allowance is not None:
            allowance.note_start(candidate)
        if verdict is Verdict.START and candidate.job_id in free:
            free[candidate.job_id] -= 1
        if verdict is Verdict.START and candidate.queue in free_in_queue:
            free_in_queue[candidate.queue] -= 1
        # A retry is under way already, whether it starts now or waits for its job.
        if verdict is Verdict.START and not candidate.is_retry:
            facts.running.append(candidate.run_id)
        elif verdict in _WAITING and not candidate.is_retry:
            facts.waiting.append(candidate.order)
    return Judgement(verdicts, tuple(cancelled), reasons)


def _with_retries(
    candidates: Sequence[Candidate], busy: Mapping[UUID, Busyness]
) -> defaultdict[UUID, Busyness]:
    """Return what is under way, the candidates that have begun before among it.

    They keep their schedule busy wherever they stand in the order.
    """
    known: defaultdict[UUID, Busyness] = defaultdict(Busyness)
    for schedule_id, facts in busy.items():
        known[schedule_id] = Busyness(list(facts.running), list(facts.waiting))
    for candidate in candidates:
        if candidate.is_retry and candidate.schedule_id is not None:
            known[candidate.schedule_id].running.append(candidate.run_id)
    return known


def _refuse(candidate: Candidate, allowance: Allowance | None) -> RunReason | None:
    if candidate.is_refused:
        return RunReason.REJECTED
    return None if allowance is None else allowance.refuse(candidate)


def _judge_overlap(candidate: Candidate, facts: Busyness) -> Verdict:
    """Judge one candidate by its overlap policy alone."""
    # A retry goes on with a run that was judged when it first started.
    if (
        candidate.schedule_id is None
        or candidate.overlap is OverlapPolicy.ALLOW
        or candidate.is_retry
    ):
        return Verdict.START
    if not candidate.is_judge:
        return Verdict.LEAVE
    ahead = sum(order < candidate.order for order in facts.waiting)
    if not facts.running and not ahead:
        return Verdict.START
    if candidate.overlap is OverlapPolicy.SKIP:
        return Verdict.SKIP
    # QUEUE_ONE keeps the first that waits, even when a later one was seen before it;
    # CANCEL_RUNNING waits for what it cancels.
    most = candidate.most_waiting if candidate.overlap is OverlapPolicy.QUEUE_ALL else 1
    return Verdict.WAIT if ahead < most else Verdict.SKIP
