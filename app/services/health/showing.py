"""The instance in Prometheus' terms: what an API process shows beside what it counts itself.

It comes from PostgreSQL, so it is there when every worker is dead. Labels are bounded: the queues
with the most work by name and the others together, and single schedules only if the settings say
how many.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from app.core.vocabulary import FindingCode, SchedulerState, Severity, WorkerState
from app.metrics.engine import MOST_QUEUES
from app.services.status import InstanceStatus, QueueStatus
from app.store.database import ReadConnection
from app.store.findings import count_open_findings
from app.store.health import ScheduleTimes, read_schedule_times


async def read_families(
    connection: ReadConnection,
    status: InstanceStatus,
    *,
    clock_offset: timedelta | None,
    most_schedules: int,
) -> list[Metric]:
    """Return everything an API process shows of the instance."""
    findings = await count_open_findings(connection)
    times = await read_schedule_times(connection, limit=most_schedules) if most_schedules else []
    return [
        *_engine(status, clock_offset),
        *_queues(status.queues),
        _findings(findings),
        *_schedules(times),
    ]


def _engine(status: InstanceStatus, clock_offset: timedelta | None) -> Iterable[Metric]:
    yield _gauge(
        "tickwheel_ticker_last_success_timestamp_seconds",
        "When the last tick succeeded, by this machine's clock: this worker's, or on the API any "
        "worker's by PostgreSQL's.",
        None if status.last_tick_at is None else status.last_tick_at.timestamp(),
    )
    yield _gauge(
        "tickwheel_oldest_queued_age_seconds",
        "For how long the oldest queued run has been due; 0 if none is.",
        _seconds(status.oldest_queued_age),
    )
    yield _gauge("tickwheel_runs_queued", "Runs that wait.", status.queued_runs)
    yield _gauge("tickwheel_runs_running", "Runs that are under way.", status.running_runs)
    yield _gauge(
        "tickwheel_schedules_due", "Schedules that are due and not fired yet.", status.due_now
    )
    yield _gauge(
        "tickwheel_schedules_overdue",
        "Schedules that have been due for more than 10 seconds; counted up to 10,000.",
        status.overdue,
    )
    yield _labelled(
        "tickwheel_schedules",
        "Schedules by state.",
        "state",
        {state.value: count for state, count in status.schedules.items()},
    )
    yield _labelled(
        "tickwheel_scheduler_state",
        "1 for the state the instance is in.",
        "state",
        {state.value: int(state is status.state) for state in SchedulerState},
    )
    yield _labelled(
        "tickwheel_worker_up",
        "1 while the worker takes runs, 0 while it drains or when it is lost.",
        "worker",
        {
            f"{worker.host}:{worker.pid}": int(worker.state is WorkerState.ONLINE)
            for worker in reversed(status.workers)
        },
    )
    yield _labelled(
        "tickwheel_dependency_up",
        "1 while the dependency answers.",
        "dependency",
        {each.name: int(each.healthy) for each in status.dependencies},
    )
    yield _labelled(
        "tickwheel_dependency_latency_seconds",
        "How long one round trip takes.",
        "dependency",
        {each.name: _seconds(each.latency) for each in status.dependencies if each.healthy},
    )
    yield _gauge(
        "tickwheel_clock_offset_seconds",
        "This machine's clock less PostgreSQL's.",
        None if clock_offset is None else clock_offset.total_seconds(),
    )


def _queues(queues: Sequence[QueueStatus]) -> Iterable[Metric]:
    depth: dict[str, float] = {}
    running: dict[str, float] = {}
    ordered = sorted(queues, key=lambda queue: (-queue.depth - queue.running, queue.name))
    for index, queue in enumerate(ordered):
        label = queue.name if index < MOST_QUEUES else "other"
        depth[label] = depth.get(label, 0) + queue.depth
        running[label] = running.get(label, 0) + queue.running
    yield _labelled("tickwheel_queue_depth", "Due runs that wait.", "queue", depth)
    yield _labelled("tickwheel_queue_running", "Runs that are under way.", "queue", running)


def _findings(counts: Mapping[tuple[FindingCode, Severity], int]) -> Metric:
    family = GaugeMetricFamily(
        "tickwheel_findings_open",
        "Open health findings, by code and severity.",
        labels=["code", "severity"],
    )
    for code in FindingCode:
        for severity in (Severity.WARNING, Severity.CRITICAL):
            family.add_metric([code.value, severity.value], counts.get((code, severity), 0))
    return family


def _schedules(times: Sequence[ScheduleTimes]) -> Iterable[Metric]:
    last_run = GaugeMetricFamily(
        "tickwheel_schedule_last_run_timestamp_seconds",
        "When the schedule's last run that has ended began.",
        labels=["project", "schedule"],
    )
    last_success = GaugeMetricFamily(
        "tickwheel_schedule_last_success_timestamp_seconds",
        "The newest occurrence whose run has succeeded.",
        labels=["project", "schedule"],
    )
    for each in times:
        labels = [each.project_key, each.schedule_key]
        if each.last_run_at is not None:
            last_run.add_metric(labels, each.last_run_at.timestamp())
        if each.last_success_for is not None:
            last_success.add_metric(labels, each.last_success_for.timestamp())
    return last_run, last_success


def _gauge(name: str, documentation: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(name, documentation)
    if value is not None:
        family.add_metric([], value)
    return family


def _labelled(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _seconds(duration: timedelta | None) -> float:
    return 0.0 if duration is None else duration.total_seconds()
