"""Very much at once: a thousand commands to cancel, and twenty thousand runs due in one second."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from app.core.ids import Kind, public_id
from app.core.time import OnceTiming
from app.core.vocabulary import CatchUpPolicy, JobKind, OverlapPolicy, Role
from app.services.access import Principal
from app.services.cancelling import cancel_many
from app.services.pausing import SYSTEM
from tests.engine import SECOND
from tests.faults import invariants
from tests.faults.cluster import Cluster, eventually
from tests.faults.evidence import collect
from tests.faults.rows import row
from tests.worker.control import processes_of_runs

pytestmark = pytest.mark.timeout(600)

# Each leaves its session, and one of its children is deaf to what asks it to end.
_STUBBORN = (
    "setsid sleep 1000 & setsid sh -c \"trap '' TERM; while :; do sleep 5; done\" & sleep 1000"
)
_AT_ONCE = 500
_PATIENCE_SECONDS = 300.0
# The shell, a sleep and the deaf one.
_LEAST_PROCESSES = 3


@row("cancel storm", "I8")
async def test_commands_that_are_cancelled_together_leave_no_process(
    cluster: Cluster, long: bool
) -> None:
    """What leaves its session, and what is deaf to TERM, ends as well."""
    size = 1_000 if long else 20
    # To begin so many keeps the machine busy for longer than the short leases of these tests.
    leases = {"lease_seconds": 15, "heartbeat_seconds": 5, "sweep_seconds": 5} if long else {}
    await cluster.start(
        2, allow_commands=True, worker_slots=_AT_ONCE, process_slots=_AT_ONCE, **leases
    )
    job_id = await cluster.engine.job(
        kind=JobKind.COMMAND,
        config={"argv": ["sh", "-c", _STUBBORN]},
    )
    run_ids = [await cluster.run_now(job_id) for _ in range(size)]
    # Cheaper to ask than the list of all processes.
    await all_are(cluster, "RUNNING", size)
    await eventually(lambda: have_begun(run_ids), patience_seconds=_PATIENCE_SECONDS)
    principal = Principal(SYSTEM, Role.ADMIN, cluster.engine.project_id)
    await cancel_many(cluster.engine.runtime, principal, run_ids, reason="A storm")
    await all_are(cluster, "CANCELLED", size)
    assert invariants.no_survivors(run_ids) == []


async def have_begun(run_ids: Sequence[UUID]) -> bool:
    """Return whether each of the commands has its children, in sessions of their own."""
    counts = processes_of_runs()
    return all(counts[public_id(Kind.RUN, run_id)] >= _LEAST_PROCESSES for run_id in run_ids)


async def all_are(cluster: Cluster, state: str, size: int) -> None:
    """Wait until so many runs are in a state."""

    async def look() -> bool:
        found = await cluster.engine.row(
            "SELECT count(*) AS runs FROM run WHERE state = :state", state=state
        )
        return bool(found["runs"] == size)

    await eventually(look, patience_seconds=_PATIENCE_SECONDS)


@row("herd: due in the same second", "I1 I2")
async def test_a_herd_is_due_in_one_second_and_each_of_it_runs_once(
    cluster: Cluster, long: bool
) -> None:
    """The long form tells how late they began; the quick one only that none began early."""
    size = 20_000 if long else 500
    await cluster.start(2)
    engine = cluster.engine
    now = await engine.now()
    due_at = now.replace(microsecond=0) + (30 if long else 5) * SECOND
    job_id = await engine.job()
    template = await engine.schedule(
        job_id,
        [OnceTiming(due_at)],
        cursor_at=now,
        next_run_at=due_at,
        overlap=OverlapPolicy.ALLOW,
        catch_up=CatchUpPolicy.ALL,
    )
    await multiply(cluster, template, size - 1)
    await cluster.until(
        "SELECT 1 FROM run WHERE state = 'SUCCEEDED' HAVING count(*) = :size", size=size
    )
    evidence = await collect(engine, [])
    assert invariants.attempts_counted(evidence) + invariants.no_stale_writes(evidence) == []
    told = await engine.row(
        "SELECT count(DISTINCT schedule_id) AS schedules, count(*) AS runs,"
        " bool_and(scheduled_for = :due_at) AS are_due_then, bool_and(attempt = 1) AS are_first,"
        " min(extract(epoch FROM first_started_at - due_at))::float AS earliest,"
        " percentile_cont(0.99) WITHIN GROUP"
        " (ORDER BY extract(epoch FROM first_started_at - due_at))::float AS p99 FROM run",
        due_at=due_at,
    )
    print(f"{size:,} together: the first {told['earliest']:.3f} s late, p99 {told['p99']:.3f} s")
    assert (told["schedules"], told["runs"]) == (size, size)
    assert told["are_due_then"]
    assert told["are_first"]
    assert told["earliest"] >= 0


async def multiply(cluster: Cluster, template: UUID, more: int) -> None:
    """Copy a schedule so often."""
    copied = {"schedule": ("id", "key", "definition_hash"), "schedule_counters": ("schedule_id",)}
    for table, own in copied.items():
        rows = await cluster.engine.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = :table"
            " AND is_generated = 'NEVER' AND column_name <> ALL (:own)",
            table=table,
            own=list(own),
        )
        names = ", ".join(row["column_name"] for row in rows)
        # The same ids for both tables.
        values = ", ".join(
            ["md5('herd-' || number)::uuid", *["'herd-' || number"] * (len(own) - 1)]
        )
        await cluster.engine.rows(
            f"INSERT INTO {table} ({', '.join(own)}, {names}) SELECT {values}, {names}"
            f" FROM {table}, generate_series(1, :more) AS number WHERE {own[0]} = :template",
            template=template,
            more=more,
        )
