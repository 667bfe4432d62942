"""Backfills: which runs they make, at which pace, and how they are steered."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from app.core.backfilling import most_unfinished
from app.core.errors import (
    Forbidden,
    IdempotencyConflict,
    Invalid,
    LimitExceeded,
    NotFound,
    StateConflict,
    TickwheelError,
)
from app.core.vocabulary import (
    BackfillState,
    OccurrenceAction,
    OverlapPolicy,
    Role,
    RunCause,
    RunState,
    SchedulerAction,
    ScheduleState,
)
from app.handlers.execution import SUCCEEDED
from app.models import Backfill, OccurrenceOverride
from app.models.columns import ActorRecord, new_id
from app.services.access import Principal
from app.services.backfills import (
    BackfillPlan,
    BackfillRequest,
    advance_backfill,
    advance_backfills,
    cancel_backfill,
    pause_backfill,
    plan_backfill,
    resume_backfill,
    start_backfill,
)
from app.services.backfills import starting as starting_module
from app.services.controlling import CONFIRMATION, ControlRequest, control_scheduler
from app.store.backfills import BackfillRecord, read_backfills
from tests.engine import FAILED, MINUTE, SECOND, Engine, ended, every, until_crashes_end

YEAR = timedelta(days=365)


def operator(engine: Engine, role: Role = Role.OPERATOR) -> Principal:
    """Return somebody who may start backfills."""
    return Principal(ActorRecord(kind="USER", id=None, name="Ada"), role, engine.project_id)


class Past:
    """A schedule that is due each minute, and its last minutes; minute 0 is the oldest."""

    def __init__(self, engine: Engine, schedule_id: UUID, begin: Any, minutes: int) -> None:
        self.engine = engine
        self.schedule_id = schedule_id
        self.begin = begin
        self.minutes = minutes

    @classmethod
    async def of(cls, engine: Engine, minutes: int = 10, **columns: Any) -> "Past":
        """Make a schedule whose next occurrence is far away and whose past has no runs."""
        now = await engine.now()
        begin = now.replace(second=0, microsecond=0) - minutes * MINUTE
        columns = {"overlap": OverlapPolicy.ALLOW, "timings": [every(60, begin)], **columns}
        schedule_id = await engine.schedule(
            columns.pop("job_id", None),
            columns.pop("timings"),
            cursor_at=now,
            next_run_at=columns.pop("next_run_at", now + YEAR),
            **columns,
        )
        return cls(engine, schedule_id, begin, minutes)

    def minute(self, number: float) -> Any:
        """Return an instant."""
        return self.begin + number * MINUTE

    def request(self, **changes: Any) -> BackfillRequest:
        """Ask for all minutes."""
        given = {"from_at": self.begin, "until_at": self.minute(self.minutes - 1), **changes}
        return BackfillRequest(self.schedule_id, **given)

    async def start(self, **changes: Any) -> UUID:
        """Start a backfill and return its id."""
        accepted = await start_backfill(
            self.engine.runtime, operator(self.engine), self.request(**changes)
        )
        return accepted.result.record.backfill.id

    async def plan(self, **changes: Any) -> BackfillPlan:
        """Only plan it."""
        return await plan_backfill(
            self.engine.runtime, operator(self.engine), self.request(**changes)
        )

    async def made(self) -> list[float]:
        """Return the minutes for which there is a backfill's run, in order."""
        rows = await self.engine.rows(
            "SELECT scheduled_for FROM run WHERE schedule_id = :id AND cause = 'BACKFILL'"
            " ORDER BY scheduled_for",
            id=self.schedule_id,
        )
        return [(row["scheduled_for"] - self.begin) / MINUTE for row in rows]

    async def run(self, minute: float, state: RunState, **more: Any) -> UUID:
        """Record that an occurrence has had a run."""
        schedule = await self.engine.row(
            "SELECT job_id FROM schedule WHERE id = :id", id=self.schedule_id
        )
        at = self.minute(minute)
        over = {} if state in (RunState.QUEUED, RunState.RUNNING) else {"finished_at": at}
        return await self.engine.run(
            schedule["job_id"], self.schedule_id, due_at=at, state=state, **over, **more
        )


async def record(engine: Engine, backfill_id: UUID) -> BackfillRecord:
    """Read a backfill as the API does."""
    async with engine.runtime.database.reading(engine.project_id) as connection:
        return (await read_backfills(connection, engine.project_id, [backfill_id]))[backfill_id]


async def backfill(engine: Engine, backfill_id: UUID) -> Backfill:
    """Read its row."""
    return (await record(engine, backfill_id)).backfill


async def later(engine: Engine) -> None:
    """Let every backfill be looked at again, however soon that is."""
    await engine.rows("UPDATE backfill SET step_at = now() WHERE step_at IS NOT NULL")
    await advance_backfills(engine.runtime)


async def finish_all(engine: Engine, *outcomes: Any) -> int:
    """Execute everything that may start, and return how many runs that was."""
    worker, total = await engine.worker(), 0
    while claimed := (await engine.claim(worker)).runs:
        pairs = zip(claimed, [*outcomes, *[SUCCEEDED] * len(claimed)], strict=False)
        await engine.finish(*(ended(run, outcome) for run, outcome in pairs))
        total += len(claimed)
    return total


async def test_a_backfill_runs_every_occurrence_of_its_range_both_ends_included(
    engine: Engine,
) -> None:
    past = await Past.of(engine)
    started = await past.start()
    assert await past.made() == list(range(10))
    [first, second, *_] = await engine.rows("SELECT * FROM run ORDER BY scheduled_for")
    assert (first["cause"], first["state"], first["tier"]) == ("BACKFILL", "QUEUED", 2)
    assert first["backfill_id"] == started
    assert first["triggered_by"]["name"] == "Ada"
    assert (first["previous_success_for"], second["previous_success_for"]) == (
        past.minute(-1),
        past.minute(0),
    )
    assert await finish_all(engine, FAILED) == 10
    now = await record(engine, started)
    assert (now.backfill.state, now.backfill.total, now.done, now.failed) == (
        BackfillState.RUNNING,
        10,
        10,
        1,
    )
    await later(engine)
    now = await record(engine, started)
    assert (now.backfill.state, now.backfill.total, now.done, now.failed) == (
        BackfillState.COMPLETED,
        10,
        10,
        1,
    )
    assert now.backfill.finished_at is not None


async def test_each_run_works_on_its_own_interval(engine: Engine) -> None:
    """Fails if the claim gives a backfill's run the schedule's newest success instead."""
    past = await Past.of(engine, 3)
    await engine.rows(
        "UPDATE schedule_counters SET last_success_for = :at WHERE schedule_id = :id",
        at=past.minute(99),
        id=past.schedule_id,
    )
    await past.start()
    claimed = (await engine.claim()).runs
    intervals = [
        (run.execution.previous_success_at, run.execution.scheduled_for) for run in claimed
    ]
    assert intervals == [(past.minute(n - 1), past.minute(n)) for n in range(3)]


async def test_only_what_is_missing_runs(engine: Engine) -> None:
    """Fails if the reruns, or the runs under way, are not looked at."""
    past = await Past.of(engine)
    await past.run(1, RunState.SUCCEEDED)
    failed = await past.run(2, RunState.FAILED)
    await past.run(2, RunState.SUCCEEDED, cause=RunCause.RERUN, rerun_of_id=failed)
    await past.run(3, RunState.FAILED)
    await past.run(4, RunState.SKIPPED)
    await past.run(5, RunState.QUEUED)
    await past.run(6, RunState.SUCCEEDED, cause=RunCause.BACKFILL, backfill_id=new_id())
    # A recorded stretch is no success of its first occurrence.
    await past.run(7, RunState.MISSED, range_end=past.minute(9))
    plan = await past.plan()
    assert (plan.count, plan.is_exact) == (6, True)
    assert [(one.nominal - past.begin) / MINUTE for one in plan.planned] == [0, 3, 4, 7, 8, 9]
    started = await past.start()
    assert await past.made() == [0, 3, 4, 6, 7, 8, 9]
    assert (await backfill(engine, started)).total == 6


async def test_a_second_backfill_leaves_alone_what_the_first_is_at(engine: Engine) -> None:
    past = await Past.of(engine)
    await past.start()
    second = await past.start()
    assert await past.made() == list(range(10))
    assert (await backfill(engine, second)).state is BackfillState.COMPLETED


async def test_all_of_them_run_when_asked_for(engine: Engine) -> None:
    past = await Past.of(engine)
    await past.run(1, RunState.SUCCEEDED)
    assert (await past.plan(only_missing=False)).count == 10
    await past.start(only_missing=False)
    assert await past.made() == list(range(10))


async def test_a_dry_run_writes_nothing(engine: Engine) -> None:
    past = await Past.of(engine)
    await past.plan()
    assert await engine.rows("SELECT 1 FROM backfill") == []
    assert await past.made() == []


async def test_decisions_about_single_occurrences_hold(engine: Engine) -> None:
    past = await Past.of(engine, 5)
    now = await engine.now()
    for minute, action in ((1, OccurrenceAction.SKIP), (2.5, OccurrenceAction.ADD)):
        at = past.minute(minute)
        await engine.add(
            OccurrenceOverride(
                schedule_id=past.schedule_id,
                at=at,
                action=action,
                fires_at=at,
                reason="Because",
                created_at=now,
                settled_at=now,
            )
        )
    await past.start()
    assert await past.made() == [0, 2, 2.5, 3, 4]


async def test_a_repeated_request_starts_nothing_more(engine: Engine) -> None:
    past = await Past.of(engine)
    first = await past.start(idempotency_key="once")
    accepted = await start_backfill(
        engine.runtime, operator(engine), past.request(idempotency_key="once")
    )
    assert (accepted.replayed, accepted.result.record.backfill.id) == (True, first)
    with pytest.raises(IdempotencyConflict):
        await past.start(idempotency_key="once", rate_per_minute=3)


@pytest.mark.parametrize(
    ("changes", "error", "path"),
    [
        ({"until_at": "begin - 1"}, Invalid, ("until",)),
        ({"until_at": "begin + 600"}, Invalid, ("until",)),
        ({"from_at": "begin - 1000000"}, Invalid, ("from",)),
        ({"rate_per_minute": 0}, Invalid, ("ratePerMinute",)),
        ({"rate_per_minute": 60_001}, Invalid, ("ratePerMinute",)),
        ({"overlap": OverlapPolicy.CANCEL_RUNNING}, Invalid, ("overlap",)),
    ],
)
async def test_impossible_requests_are_refused_and_leave_nothing(
    engine: Engine, changes: dict[str, Any], error: type[TickwheelError], path: tuple[str, ...]
) -> None:
    past = await Past.of(engine)
    given = {
        name: past.minute(float(value.removeprefix("begin").replace(" ", "")))
        if isinstance(value, str) and value.startswith("begin")
        else value
        for name, value in changes.items()
    }
    for act in (past.plan, past.start):
        with pytest.raises(error) as refused:
            await act(**given)
        assert refused.value.path == path
    assert await engine.rows("SELECT 1 FROM backfill") == []


async def test_what_is_missing_beyond_the_retention_cannot_be_known(engine: Engine) -> None:
    past = await Past.of(engine)
    await engine.rows("UPDATE project SET retention_seconds = 300")
    with pytest.raises(Invalid, match="retention"):
        await past.start()
    await past.start(only_missing=False)
    assert await past.made() == list(range(10))


async def test_far_too_much_is_refused_before_it_is_counted(engine: Engine) -> None:
    past = await Past.of(engine, timings=[every(1)])
    with pytest.raises(LimitExceeded, match="10,000,000"):
        await past.plan(from_at=past.begin - YEAR, only_missing=False)


async def test_a_schedule_has_a_bounded_number_of_backfills(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting_module, "MOST_UNFINISHED", 2)
    past = await Past.of(engine)
    await past.start(rate_per_minute=1)
    await past.start(rate_per_minute=1, only_missing=False)
    with pytest.raises(LimitExceeded):
        await past.start()


async def test_viewers_and_strangers_are_refused(engine: Engine) -> None:
    past = await Past.of(engine)
    started = await past.start()
    viewer = operator(engine, Role.VIEWER)
    for refused in (
        plan_backfill(engine.runtime, viewer, past.request()),
        start_backfill(engine.runtime, viewer, past.request()),
        pause_backfill(engine.runtime, viewer, started),
        resume_backfill(engine.runtime, viewer, started),
        cancel_backfill(engine.runtime, viewer, started),
    ):
        with pytest.raises(Forbidden):
            await refused
    stranger = Principal(viewer.actor, Role.ADMIN, new_id())
    with pytest.raises(NotFound):
        await start_backfill(engine.runtime, stranger, past.request())
    with pytest.raises(NotFound):
        await cancel_backfill(engine.runtime, stranger, started)


@pytest.mark.parametrize("state", [ScheduleState.QUARANTINED, ScheduleState.ARCHIVED])
async def test_a_schedule_that_cannot_run_is_refused(engine: Engine, state: ScheduleState) -> None:
    past = await Past.of(engine)
    await engine.rows(
        "UPDATE schedule SET state = :state, next_run_at = NULL,"
        " archived_at = CASE WHEN :is_archived THEN now() END",
        state=state.value,
        is_archived=state is ScheduleState.ARCHIVED,
    )
    with pytest.raises(StateConflict):
        await past.start()


async def test_a_paused_schedule_may_be_backfilled(engine: Engine) -> None:
    past = await Past.of(engine, state=ScheduleState.PAUSED, next_run_at=None)
    await past.start()
    assert await past.made() == list(range(10))


async def test_an_edit_changes_nothing_of_what_was_started(engine: Engine) -> None:
    past = await Past.of(engine, parameters={"day": "old"})
    started = await past.start(rate_per_minute=60)
    await engine.rows(
        "INSERT INTO schedule_version (id, schedule_id, sequence, version, at, change, diff,"
        " snapshot) SELECT gen_random_uuid(), id, 1, version, now(), 'CREATED', '[]',"
        " to_jsonb(schedule) FROM schedule"
    )
    await engine.rows(
        'UPDATE schedule SET version = 2, parameters = \'{"day": "new"}\', timings = :timings',
        timings='[{"interval": {"every": 7, "anchor": "2025-01-01T00:00:00+00:00"}}]',
    )
    await engine.rows("UPDATE backfill SET next_due_at = now(), rate_per_minute = 60000")
    await later(engine)
    assert await past.made() == list(range(10))
    runs = await engine.rows("SELECT parameters, schedule_version FROM run")
    assert all(run["parameters"] == {"day": "old"} for run in runs)
    assert {run["schedule_version"] for run in runs} == {1}
    assert (await backfill(engine, started)).total == 10


async def test_a_million_occurrences_are_made_a_batch_at_a_time(engine: Engine) -> None:
    """Fails if the range is planned at once, or if more is queued than may be under way."""
    past = await Past.of(engine, timings=[every(1)])
    begin = past.begin - timedelta(seconds=1_000_000)
    started = await past.start(from_at=begin, until_at=past.begin - SECOND, only_missing=False)
    now = await backfill(engine, started)
    assert now.made == 1_000
    assert 10_000 <= now.total < 1_000_000
    await advance_backfills(engine.runtime, most=9)
    now = await backfill(engine, started)
    assert now.made == most_unfinished(OverlapPolicy.ALLOW)
    assert now.total > 20_000
    counts = await engine.row("SELECT count(*) AS runs FROM run")
    assert counts["runs"] == now.made


async def test_counting_goes_on_to_the_end_although_making_waits(engine: Engine) -> None:
    past = await Past.of(engine, timings=[every(1)])
    begin = past.begin - timedelta(seconds=25_000)
    started = await past.start(
        from_at=begin, until_at=past.begin - SECOND, only_missing=False, rate_per_minute=1
    )
    await advance_backfills(engine.runtime)
    now = await backfill(engine, started)
    assert (now.total, now.made) == (25_000, 1)


async def test_runs_that_take_turns_are_made_a_few_at_a_time(engine: Engine) -> None:
    past = await Past.of(engine, 300, overlap=OverlapPolicy.SKIP)
    started = await past.start()
    assert (await backfill(engine, started)).overlap is OverlapPolicy.QUEUE_ALL
    await later(engine)
    assert len(await past.made()) == most_unfinished(OverlapPolicy.QUEUE_ALL)
    [run] = (await engine.claim()).runs
    await engine.finish(ended(run))
    await later(engine)
    assert len(await past.made()) == most_unfinished(OverlapPolicy.QUEUE_ALL) + 1


async def test_live_runs_go_first_and_are_not_skipped_for_what_waits(engine: Engine) -> None:
    """Fails if waiting runs of a backfill stand before a live one, or keep its schedule busy."""
    past = await Past.of(engine, overlap=OverlapPolicy.SKIP)
    await past.start()
    live = await past.run(9.5, RunState.QUEUED, overlap=OverlapPolicy.SKIP)
    claimed = (await engine.claim()).runs
    assert [run.id for run in claimed] == [live]


async def test_the_rate_is_kept_whatever_happens_in_between(engine: Engine) -> None:
    """Fails if a pause, a late worker or a second step starts the pace anew."""
    past = await Past.of(engine, 60)
    started = await past.start(rate_per_minute=60)
    for _ in range(3):
        await later(engine)
    made = await past.made()
    assert made == list(range(len(made)))
    # Those of the first instant and of the look-ahead, and of what this test has taken since.
    assert 6 <= len(made) < 30
    await pause_backfill(engine.runtime, operator(engine), started)
    assert await past.made() == []
    await resume_backfill(engine.runtime, operator(engine), started)
    before = len(await past.made())
    # The worker was away for an hour.
    await engine.rows("UPDATE backfill SET next_due_at = next_due_at - interval '1 hour'")
    await engine.rows(
        "UPDATE run SET due_at = due_at - interval '1 hour',"
        " next_attempt_at = next_attempt_at - interval '1 hour'"
    )
    await later(engine)
    rows = await engine.rows("SELECT due_at, next_attempt_at FROM run ORDER BY scheduled_for")
    assert len(rows) == before + 6
    gaps = [
        (after["due_at"] - before["due_at"]).total_seconds() for before, after in pairwise(rows)
    ]
    assert min(gaps) >= 1.0
    assert all(row["due_at"] == row["next_attempt_at"] for row in rows)


async def test_a_pause_takes_back_what_is_queued_and_resuming_makes_it_again(
    engine: Engine,
) -> None:
    past = await Past.of(engine)
    started = await past.start()
    worker = await engine.worker()
    running = (await engine.claim(worker, limit=3)).runs
    paused = await pause_backfill(engine.runtime, operator(engine), started)
    assert paused.result.backfill.state is BackfillState.PAUSED
    assert await past.made() == [0, 1, 2]
    await engine.finish(ended(running[0]), ended(running[2], FAILED))
    await later(engine)
    now = await record(engine, started)
    assert (now.backfill.state, now.done, now.failed) == (BackfillState.PAUSED, 2, 1)
    assert ("RUN", "WITHDRAWN", 7) in await engine.changes()
    with pytest.raises(StateConflict):
        await pause_backfill(engine.runtime, operator(engine), started)
    await resume_backfill(engine.runtime, operator(engine), started)
    assert await past.made() == list(range(10))
    await engine.finish(ended(running[1]))
    assert await finish_all(engine) == 7
    await later(engine)
    now = await record(engine, started)
    assert (now.backfill.state, now.backfill.total, now.done, now.failed) == (
        BackfillState.COMPLETED,
        10,
        10,
        1,
    )


async def test_a_pause_beyond_the_retention_cannot_be_resumed(engine: Engine) -> None:
    past = await Past.of(engine)
    started = await past.start()
    await pause_backfill(engine.runtime, operator(engine), started)
    await engine.rows("UPDATE project SET retention_seconds = 60")
    with pytest.raises(StateConflict, match="start another"):
        await resume_backfill(engine.runtime, operator(engine), started)


async def test_a_cancel_is_confirmed_when_nothing_of_it_is_alive(engine: Engine) -> None:
    """Fails if it is CANCELLED while a worker still has one of its runs."""
    past = await Past.of(engine)
    started = await past.start()
    worker = await engine.worker()
    [running] = (await engine.claim(worker, limit=1)).runs
    await cancel_backfill(engine.runtime, operator(engine), started)
    now = await record(engine, started)
    assert (now.backfill.state, now.done) == (BackfillState.RUNNING, 9)
    assert now.backfill.cancel_requested_at is not None
    asked = await engine.row("SELECT * FROM run WHERE id = :id", id=running.id)
    assert asked["cancel_requested_at"] is not None
    with pytest.raises(StateConflict, match="being cancelled"):
        await pause_backfill(engine.runtime, operator(engine), started)
    await engine.finish(ended(running, FAILED))
    await later(engine)
    now = await record(engine, started)
    assert (now.backfill.state, now.done, now.failed) == (BackfillState.CANCELLED, 10, 1)
    assert await past.made() == list(range(10))
    with pytest.raises(StateConflict):
        await resume_backfill(engine.runtime, operator(engine), started)


async def test_a_paused_backfill_can_be_cancelled(engine: Engine) -> None:
    past = await Past.of(engine)
    started = await past.start()
    await pause_backfill(engine.runtime, operator(engine), started)
    await cancel_backfill(engine.runtime, operator(engine), started)
    assert (await backfill(engine, started)).state is BackfillState.CANCELLED
    assert await past.made() == []


async def test_an_archived_schedule_ends_its_backfills(engine: Engine) -> None:
    past = await Past.of(engine, 40)
    started = await past.start(rate_per_minute=60)
    await engine.rows(
        "UPDATE schedule SET state = 'ARCHIVED', next_run_at = NULL, archived_at = now()"
    )
    await later(engine)
    now = await backfill(engine, started)
    assert (now.state, now.message) == (BackfillState.CANCELLED, "Its schedule was archived.")
    assert await engine.rows("SELECT 1 FROM run WHERE state = 'QUEUED'") == []


@pytest.mark.parametrize("state", ["PAUSED", "STOPPED", "DRAINING"])
async def test_a_halted_instance_makes_no_runs(engine: Engine, state: str) -> None:
    past = await Past.of(engine)
    await engine.rows("UPDATE scheduler_state SET state = :state", state=state)
    started = await past.start()
    assert await past.made() == []
    await engine.rows("UPDATE scheduler_state SET state = 'RUNNING'")
    await later(engine)
    assert await past.made() == list(range(10))
    assert (await backfill(engine, started)).state is BackfillState.RUNNING


async def test_an_emergency_stop_ends_backfills_for_good(engine: Engine) -> None:
    """Fails if they are only looked at while the stop stands: then one goes on after the start."""
    past = await Past.of(engine, 40)
    started = await past.start(rate_per_minute=60)
    governor = replace(operator(engine, Role.ADMIN), governs=True)
    stop = ControlRequest(SchedulerAction.EMERGENCY_STOP, "Smoke", confirm=CONFIRMATION)
    await control_scheduler(engine.runtime, governor, stop)
    await control_scheduler(
        engine.runtime, governor, ControlRequest(SchedulerAction.START, "No fire")
    )
    await later(engine)
    now = await backfill(engine, started)
    assert now.state is BackfillState.CANCELLED
    assert now.message == "Cancelled by Ada: emergency stop: Smoke"
    assert await engine.rows("SELECT 1 FROM run WHERE state = 'QUEUED'") == []


async def test_a_backfill_that_cannot_be_carried_on_holds_up_no_other(engine: Engine) -> None:
    """Fails if the step lets the error out, or tries the same backfill again and again."""
    broken, sound = await Past.of(engine), await Past.of(engine)
    first = await broken.start(rate_per_minute=1)
    await engine.rows(
        "UPDATE schedule SET timings = '[{\"interval\": {}}]' WHERE id = :id",
        id=broken.schedule_id,
    )
    await engine.rows("UPDATE backfill SET next_due_at = now()")
    await sound.start()
    await later(engine)
    assert await sound.made() == list(range(10))
    now = await backfill(engine, first)
    assert now.state is BackfillState.PAUSED
    assert now.message is not None
    assert now.message.startswith("It could not be carried on")


async def test_a_crash_at_any_statement_loses_and_doubles_nothing(engine: Engine) -> None:
    """Fails if a step is more than one transaction, or the cursor moves before its runs."""
    past = await Past.of(engine, 30)
    started = await past.start(rate_per_minute=60)

    async def make_all() -> None:
        await engine.rows(
            "UPDATE backfill SET step_at = now(), next_due_at = now(), rate_per_minute = 60000"
        )
        while await advance_backfill(engine.runtime):
            pass

    await until_crashes_end(engine, make_all)
    assert await past.made() == list(range(30))
    assert (await backfill(engine, started)).made == 30


async def test_steps_at_the_same_time_make_each_run_once(engine: Engine) -> None:
    past = await Past.of(engine, timings=[every(1)])
    started = await past.start(
        from_at=past.begin - timedelta(seconds=1_999), until_at=past.begin, only_missing=False
    )
    await asyncio.gather(*(advance_backfills(engine.runtime) for _ in range(4)))
    assert len(await past.made()) == 2_000
    assert (await backfill(engine, started)).made == 2_000


async def test_starting_twice_what_a_crash_interrupted_starts_it_once(engine: Engine) -> None:
    past = await Past.of(engine)

    async def start() -> UUID:
        return await past.start(idempotency_key="once")

    await until_crashes_end(engine, start)
    await later(engine)
    assert await past.made() == list(range(10))
    [row] = await engine.rows("SELECT made FROM backfill")
    assert row["made"] == 10


async def test_everything_leaves_its_trace_in_the_audit(engine: Engine) -> None:
    past = await Past.of(engine)
    started = await past.start()
    await pause_backfill(engine.runtime, operator(engine), started)
    await resume_backfill(engine.runtime, operator(engine), started)
    await cancel_backfill(engine.runtime, operator(engine), started)
    rows = await engine.rows("SELECT action, subject_kind FROM audit ORDER BY id")
    assert [row["action"] for row in rows] == [
        "backfillStart",
        "backfillPause",
        "backfillResume",
        "backfillCancel",
    ]
    assert {row["subject_kind"] for row in rows} == {"BACKFILL"}
