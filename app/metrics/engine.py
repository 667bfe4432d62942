"""What a worker counts: what became of the runs it had, how late they started, its ticks."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Counter, Gauge, generate_latest

from app import __version__
from app.metrics.histograms import BatchHistogram
from app.metrics.process import process_registry

MOST_QUEUES = 50
"""So many queues have a label of their own; the runs of the others share `other`."""

_DELAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_DURATIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_TICKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class EngineMetrics:
    """The metrics of a worker process; each method takes a whole batch."""

    def __init__(self) -> None:
        self.registry = registry = process_registry(__version__)
        self._queues: set[str] = set()
        self._runs = Counter(
            "tickwheel_runs_total",
            "Runs that this worker has ended: its own, and those of lost workers; by final state.",
            ["state", "kind", "queue"],
            registry=registry,
        )
        self._attempts_repeated = Counter(
            "tickwheel_retries_total",
            "Attempts that ended and are followed by another.",
            registry=registry,
        )
        self.delay = BatchHistogram(
            "tickwheel_schedule_delay_seconds",
            "From the instant at which a scheduled run was due to the start of its first attempt; "
            "counted when that attempt ends.",
            bounds=_DELAYS,
            registry=registry,
        )
        self.duration = BatchHistogram(
            "tickwheel_run_duration_seconds",
            "How long attempts took.",
            bounds=_DURATIONS,
            label="kind",
            registry=registry,
        )
        self._not_run = Counter(
            "tickwheel_ticks_missed_total",
            "Occurrences recorded without a run, by the reason on their record.",
            ["reason"],
            registry=registry,
        )
        self._fired = Counter(
            "tickwheel_runs_fired_total", "Runs that ticks have queued.", registry=registry
        )
        self.tick_duration = BatchHistogram(
            "tickwheel_tick_duration_seconds",
            "How long ticks took.",
            bounds=_TICKS,
            registry=registry,
        )
        self.ticks_failed = Counter(
            "tickwheel_ticks_failed_total", "Ticks that ended in an error.", registry=registry
        )
        self.last_tick = Gauge(
            "tickwheel_ticker_last_success_timestamp_seconds",
            "When the last tick succeeded, by this machine's clock: this worker's, or on the API "
            "any worker's by PostgreSQL's.",
            registry=registry,
        )
        self.leases_expired = Counter(
            "tickwheel_leases_expired_total",
            "Runs taken from a worker that did not renew their leases.",
            registry=registry,
        )
        self.fenced_writes = Counter(
            "tickwheel_fenced_writes_total",
            "Ends of attempts that were refused: the run had passed to another.",
            registry=registry,
        )
        self.worker_up = Gauge(
            "tickwheel_worker_up",
            "1 while the worker takes runs, 0 while it drains or when it is lost.",
            ["worker"],
            registry=registry,
        )
        self._slots = Gauge(
            "tickwheel_worker_slots",
            "How many runs the worker executes at once.",
            registry=registry,
        )
        self._busy = Gauge(
            "tickwheel_worker_busy", "How many runs the worker executes now.", registry=registry
        )
        self.clock_offset = Gauge(
            "tickwheel_clock_offset_seconds",
            "This machine's clock less PostgreSQL's.",
            registry=registry,
        )

    def note_fired(self, runs: int, not_run: Mapping[str, int]) -> None:
        """Count what a batch of a tick has queued, and what it has recorded without a run."""
        if runs:
            self._fired.inc(runs)
        self.note_not_run(not_run)

    def note_not_run(self, by_reason: Mapping[str, int]) -> None:
        """Count occurrences that were skipped or missed."""
        for reason, count in by_reason.items():
            self._not_run.labels(reason).inc(count)

    def note_ended(
        self, runs: Tally[tuple[str, str, str]], *, retried: int = 0, fenced: int = 0
    ) -> None:
        """Count runs that ended, by state, kind and queue, and attempts that will be repeated."""
        for (state, kind, queue), count in runs.items():
            self._runs.labels(state, kind, self._bounded(queue)).inc(count)
        if retried:
            self._attempts_repeated.inc(retried)
        if fenced:
            self.fenced_writes.inc(fenced)

    def note_durations(self, seconds: Mapping[str, Iterable[float]]) -> None:
        """Count how long attempts took, by the kind of their jobs."""
        for kind, values in seconds.items():
            self.duration.observe(values, kind)

    def follow_slots(self, slots: int, busy: Callable[[], int]) -> None:
        """Show a worker's slots, and ask how many are busy whenever somebody looks."""
        self._slots.set(slots)
        self._busy.set_function(busy)

    def _bounded(self, queue: str) -> str:
        if queue not in self._queues:
            if len(self._queues) >= MOST_QUEUES:
                return "other"
            self._queues.add(queue)
        return queue

    def render(self) -> bytes:
        """Return everything as text."""
        return generate_latest(self.registry)
