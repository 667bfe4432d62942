"""What came of a batch, counted for Prometheus: once for the batch, after its commit."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import RowMapping

from app.core.vocabulary import RunState
from app.metrics import EngineMetrics
from app.services.finished_attempts import FinishedAttempt


def measure_ends(
    metrics: EngineMetrics, rows: Sequence[RowMapping], ended: Mapping[UUID, FinishedAttempt]
) -> None:
    """Count the ends of attempts: `rows` are those that were written, the others were fenced."""
    runs: Counter[tuple[str, str, str]] = Counter()
    delays: list[float] = []
    durations: defaultdict[str, list[float]] = defaultdict(list)
    retried = 0
    for row in rows:
        attempt = ended[row["id"]]
        run, kind = attempt.run, attempt.run.execution.kind.value
        if row["state"] == RunState.QUEUED:
            retried += 1
        else:
            runs[row["state"], kind, run.queue] += 1
        durations[kind].append(attempt.duration_seconds)
        if run.attempt == 1 and run.schedule_id is not None:
            claimed = (run.started_at - run.due_at).total_seconds()
            delays.append(claimed + attempt.entry_seconds)
    metrics.note_ended(runs, retried=retried, fenced=len(ended) - len(rows))
    metrics.delay.observe(delays)
    metrics.note_durations(durations)


def measure_lost(
    metrics: EngineMetrics, rows: Sequence[RowMapping], lost: Iterable[RowMapping]
) -> None:
    """Count runs that were taken from workers that are gone."""
    found = {row["id"]: row for row in lost}
    ends = [row for row in rows if row["state"] != RunState.QUEUED]
    runs = Counter(
        (row["state"], found[row["id"]]["job_kind"], found[row["id"]]["queue"]) for row in ends
    )
    metrics.note_ended(runs, retried=len(rows) - len(ends))
    metrics.leases_expired.inc(len(rows))
