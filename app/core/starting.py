"""Decide whether a queued run that is due may start.

The overlap policy and the job's concurrency limit as one pure function. They are judged when a
run is due to start, not when it is fired: only then is it known what is still busy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.core.vocabulary import OverlapPolicy

MOST_WAITING = 1_000
"""How many runs of one schedule `QUEUE_ALL` lets wait."""


class Verdict(StrEnum):
    """What becomes of a candidate."""

    START = "START"
    SKIP = "SKIP"
    WAIT = "WAIT"
    """Stays queued, out of the queue's way, until a run of its schedule or job ends."""
    LEAVE = "LEAVE"
    """Somebody else is judging this schedule at this moment: look again at once."""


Order = tuple[datetime, UUID]
"""Where a run stands among those of its schedule: by due instant, then by id."""


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

    @property
    def order(self) -> Order:
        """Return where it stands."""
        return (self.due_at, self.run_id)


@dataclass(slots=True)
class Busyness:
    """What else a schedule has under way, apart from the candidates still to be judged."""

    # Running, or waiting for a retry.
    running: list[UUID] = field(default_factory=list)
    # Queued and due.
    waiting: list[Order] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of each candidate, and the running runs that `CANCEL_RUNNING` replaces."""

    verdicts: dict[UUID, Verdict]
    cancelled: tuple[UUID, ...]


def judge_starts(
    candidates: Iterable[Candidate],
    *,
    busy: Mapping[UUID, Busyness],
    free_job_slots: Mapping[UUID, int],
) -> Judgement:
    """Judge the candidates in order; each that starts or waits counts for those behind it.

    `free_job_slots` holds the jobs that have a limit.
    """
    verdicts: dict[UUID, Verdict] = {}
    cancelled: list[UUID] = []
    free = dict(free_job_slots)
    known = defaultdict(Busyness, busy)
    for candidate in candidates:
        facts = known[candidate.schedule_id] if candidate.schedule_id else Busyness()
        verdict = _judge_overlap(candidate, facts)
        if verdict is Verdict.START and free.get(candidate.job_id, 1) <= 0:
            verdict = Verdict.WAIT
        verdicts[candidate.run_id] = verdict
        if verdict is Verdict.START:
            facts.running.append(candidate.run_id)
            if candidate.job_id in free:
                free[candidate.job_id] -= 1
        elif verdict is Verdict.WAIT:
            if candidate.overlap is OverlapPolicy.CANCEL_RUNNING:
                cancelled.extend(facts.running)
            facts.waiting.append(candidate.order)
    started = {run_id for run_id, verdict in verdicts.items() if verdict is Verdict.START}
    return Judgement(verdicts, tuple(dict.fromkeys(set(cancelled) - started)))


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
    if not facts.running and not any(order < candidate.order for order in facts.waiting):
        return Verdict.START
    if candidate.overlap is OverlapPolicy.SKIP:
        return Verdict.SKIP
    # QUEUE_ONE keeps the first that waits; CANCEL_RUNNING waits for what it cancels.
    most = MOST_WAITING if candidate.overlap is OverlapPolicy.QUEUE_ALL else 1
    return Verdict.WAIT if len(facts.waiting) < most else Verdict.SKIP
