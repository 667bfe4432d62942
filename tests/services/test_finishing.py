"""The ends of attempts against a real PostgreSQL: written once, by whoever still holds the run."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from app.core.retry import RetryPolicy
from app.core.vocabulary import Backoff, FailureReason, OnWorkerLost, OverlapPolicy, RunState
from app.handlers.execution import Failure, Outcome, rejected, timed_out
from app.services.claiming import ClaimedRun
from app.services.finished_attempts import FinishedAttempt
from app.store.database import is_refused
from app.store.firing import to_json
from app.store.run_logs import LogChunk
from tests.engine import FAILED, NOON, SECOND, Engine, ended, until_crashes_end

RETRY = RetryPolicy(
    max_attempts=3, backoff=Backoff.FIXED, initial_delay=60 * SECOND, jitter=False
).to_json()


async def started(engine: Engine, **columns: Any) -> ClaimedRun:
    """Return a claimed run of a schedule; `columns` are its job's."""
    job_id = await engine.job(**columns)
    schedule_id = await engine.schedule(job_id)
    attempts = int(columns.get("retry", {}).get("maxAttempts", 1))
    await engine.run(job_id, schedule_id, max_attempts=attempts)
    [run] = (await engine.claim()).runs
    return run


def line(run: ClaimedRun, text: str = "hello") -> LogChunk:
    """Return one line of a run's log."""
    lines = to_json([(0, "INFO", "stdout", text)])
    return LogChunk(run.id, run.fencing_token, run.log_lines + 1, 1, run.attempt, 0, lines)


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "counted"),
    [
        (Outcome(RunState.SUCCEEDED, result={"a": 1}), "SUCCEEDED", None, {"successes": 1}),
        (FAILED, "FAILED", "ERROR", {"failures": 1, "in_a_row": 1}),
        (timed_out(3), "TIMED_OUT", "TIMEOUT", {"failures": 1, "in_a_row": 1}),
        (rejected("No", "no"), "FAILED", "REJECTED", {"failures": 1, "in_a_row": 1}),
        (Outcome(RunState.CANCELLED), "CANCELLED", "CANCEL_REQUESTED", {}),
    ],
)
async def test_an_end_is_written_with_its_record_its_log_and_its_counters(
    engine: Engine, outcome: Outcome, state: str, reason: str | None, counted: dict[str, int]
) -> None:
    run = await started(engine)
    assert run.schedule_id is not None
    assert await engine.finish(ended(run, outcome, log=(line(run),), progress=0.5)) == 1
    row = await engine.row("SELECT * FROM run")
    assert (row["state"], row["reason"], row["result"]) == (state, reason, outcome.result)
    assert row["finished_at"] - row["started_at"] == timedelta(seconds=0.02)
    assert row["first_started_at"] == row["started_at"]
    assert (row["lease_expires_at"], row["progress"]) == (None, 0.5)
    attempt = await engine.row("SELECT * FROM attempt")
    assert (attempt["number"], attempt["state"], attempt["worker"]) == (1, state, "host:1")
    assert (await engine.row("SELECT line_count FROM run_log"))["line_count"] == 1
    assert await engine.counters(run.schedule_id) == {"runs": 1, **counted}
    assert await engine.changes() == [
        ("RUN", "STARTED", 1),
        ("RUN", "FINISHED", 1),
        ("SCHEDULE", "RUN_FINISHED", 1),
    ]


async def test_a_stale_worker_changes_nothing(engine: Engine) -> None:
    """Its run was given to another. Made to fail by leaving the token out of finish_runs."""
    run = await started(engine)
    assert run.schedule_id is not None
    await engine.rows("UPDATE run SET state = 'QUEUED', lease_expires_at = NULL, crash_count = 1")
    [newer] = (await engine.claim()).runs
    before = await engine.row("SELECT * FROM run")
    changes = await engine.changes()
    assert await engine.finish(ended(run, FAILED, log=(line(run),), progress=1.0)) == 0
    assert await engine.row("SELECT * FROM run") == before
    for table in ("attempt", "run_log"):
        assert await engine.rows(f"SELECT * FROM {table}") == []
    assert await engine.counters(run.schedule_id) == {}
    assert await engine.changes() == changes
    assert await engine.finish(ended(newer)) == 1


async def test_an_end_that_is_written_again_changes_nothing(engine: Engine) -> None:
    """As when the answer to a commit was lost."""
    run = await started(engine)
    assert run.schedule_id is not None
    assert await engine.finish(ended(run)) == 1
    assert await engine.finish(ended(run)) == 0
    assert await engine.counters(run.schedule_id) == {"runs": 1, "successes": 1}


async def test_a_crash_between_any_two_statements_leaves_the_run_running(engine: Engine) -> None:
    run = await started(engine, retry=RETRY)
    assert run.schedule_id is not None

    async def finish() -> int:
        assert (await engine.row("SELECT state FROM run"))["state"] in ("RUNNING", "SUCCEEDED")
        return await engine.finish(ended(run, log=(line(run),)))

    await until_crashes_end(engine, finish)
    assert await engine.state_of(run.id) == ("SUCCEEDED", None)
    assert await engine.counters(run.schedule_id) == {"runs": 1, "successes": 1}
    assert len(await engine.rows("SELECT * FROM attempt")) == 1


async def test_a_failed_attempt_goes_back_to_the_queue_until_its_attempts_are_used_up(
    engine: Engine,
) -> None:
    run = await started(engine, retry=RETRY)
    assert run.schedule_id is not None
    for attempt in (1, 2):
        await engine.finish(ended(run, FAILED))
        row = await engine.row("SELECT *, next_attempt_at - now() AS delay FROM run")
        assert (row["state"], row["attempt"], row["finished_at"]) == ("QUEUED", attempt, None)
        assert 50 < row["delay"].total_seconds() <= 60
        assert await engine.counters(run.schedule_id) == {}
        await engine.rows("UPDATE run SET next_attempt_at = now()")
        [run] = (await engine.claim()).runs
        row = await engine.row("SELECT reason, error FROM run")
        assert tuple(row.values()) == (None, None)
    await engine.finish(ended(run, FAILED))
    assert await engine.state_of(run.id) == ("FAILED", "ERROR")
    assert run.schedule_id is not None
    assert await engine.counters(run.schedule_id) == {"runs": 1, "failures": 1, "in_a_row": 1}
    attempts = await engine.rows("SELECT number, state FROM attempt ORDER BY number")
    assert [tuple(row.values()) for row in attempts] == [(n, "FAILED") for n in (1, 2, 3)]


async def test_an_edit_of_the_job_gives_no_attempts_to_runs_under_way(engine: Engine) -> None:
    """The row refuses more attempts than it was made with, and its claim with all others in it."""
    run = await started(engine)
    more = replace(run, retry=RetryPolicy.from_json(RETRY))
    await engine.finish(ended(more, FAILED))
    assert await engine.state_of(run.id) == ("FAILED", "ERROR")


async def test_a_run_somebody_cancelled_is_not_tried_again(engine: Engine) -> None:
    """It failed by itself before its worker had heard of the cancel."""
    run = await started(engine, retry=RETRY)
    await engine.rows("UPDATE run SET cancel_requested_at = now()")
    await engine.finish(ended(run, FAILED))
    assert await engine.state_of(run.id) == ("CANCELLED", "CANCEL_REQUESTED")


async def test_a_target_that_asks_for_years_does_not_get_them(engine: Engine) -> None:
    run = await started(engine, retry=RETRY)
    failure = Failure(FailureReason.ERROR, "Busy", "later", retry_after_seconds=1e300)
    await engine.finish(ended(run, Outcome(RunState.FAILED, error=failure)))
    row = await engine.row("SELECT next_attempt_at - now() AS delay FROM run")
    assert row["delay"] <= timedelta(days=7)


async def test_a_run_given_back_does_not_count_and_starts_again(engine: Engine) -> None:
    run = await started(engine)
    assert run.schedule_id is not None
    await engine.finish(ended(run, Outcome(RunState.CANCELLED), given_back=True))
    assert await engine.state_of(run.id) == ("QUEUED", None)
    assert await engine.counters(run.schedule_id) == {}
    [again] = (await engine.claim()).runs
    assert again.attempt == 2


async def test_a_run_given_back_is_lost_if_it_may_only_begin_once(engine: Engine) -> None:
    run = await started(engine, on_worker_lost=OnWorkerLost.FAIL, retry=RETRY)
    await engine.finish(ended(run, Outcome(RunState.CANCELLED), given_back=True))
    assert await engine.state_of(run.id) == ("LOST", "WORKER_LOST")


async def test_the_end_of_a_run_rings_for_what_waited_for_it(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    for n in range(2):
        await engine.run(
            job_id, schedule_id, due_at=NOON + n * SECOND, overlap=OverlapPolicy.QUEUE_ONE
        )
    [run] = (await engine.claim()).runs
    await engine.finish(ended(run))
    await engine.runtime.settle()
    assert await engine.runtime.redis.zcard("tickwheel:doorbell") == 1


async def test_counters_are_exact_over_batches_of_many_schedules(engine: Engine) -> None:
    """In one batch S1 fails, succeeds, fails, fails; S2 succeeds; S3 fails; one run has none."""
    job_id = await engine.job()
    s1, s2, s3 = [await engine.schedule(job_id) for _ in range(3)]
    plan: list[tuple[UUID | None, bool]] = [
        (s1, False),
        (s1, True),
        (s1, False),
        (s1, False),
        (s2, True),
        (s3, False),
        (None, True),
    ]
    due = {
        await engine.run(job_id, schedule_id, due_at=NOON + n * SECOND): (n, good)
        for n, (schedule_id, good) in enumerate(plan)
    }
    ends = []
    for run in (await engine.claim()).runs:
        n, good = due[run.id]
        one = ended(run) if good else ended(run, FAILED)
        ends.append(FinishedAttempt(run, one.outcome, 0.0, float(n)))
    await engine.finish(*reversed(ends))
    assert await engine.counters(s1) == {
        "runs": 4,
        "successes": 1,
        "failures": 3,
        "in_a_row": 2,
    }
    assert await engine.counters(s2) == {"runs": 1, "successes": 1}
    assert await engine.counters(s3) == {"runs": 1, "failures": 1, "in_a_row": 1}
    row = await engine.row(
        "SELECT last_success_for FROM schedule_counters WHERE schedule_id = :id", id=s1
    )
    assert row["last_success_for"] == NOON + SECOND


async def test_failures_in_a_row_pause_the_schedule_and_take_back_what_was_prepared(
    engine: Engine,
) -> None:
    job_id, now = await engine.job(), await engine.now()
    schedule_id = await engine.schedule(
        job_id,
        pause_after_failures=2,
        cursor_at=now + 60 * SECOND,
        next_run_at=now + 70 * SECOND,
    )
    for n in range(2):
        await engine.run(job_id, schedule_id, due_at=NOON + n * SECOND)
    prepared = [await engine.run(job_id, schedule_id, due_at=now + n * SECOND) for n in (50, 60)]
    first, second = (await engine.claim()).runs
    await engine.finish(ended(first, FAILED))
    assert (await engine.row("SELECT state FROM schedule"))["state"] == "ACTIVE"
    await engine.finish(ended(second, FAILED))
    row = await engine.row("SELECT * FROM schedule")
    assert (row["state"], row["next_run_at"]) == ("PAUSED", None)
    assert row["state_reason"] == "Paused after 2 failures in a row."
    assert row["paused_by"]["kind"] == "SYSTEM"
    # The cursor stands right before the first occurrence that is not accounted for any more.
    assert row["cursor_at"] == now + 50 * SECOND - timedelta(microseconds=1)
    left = {run["id"] for run in await engine.rows("SELECT id FROM run")}
    assert not left & set(prepared)
    assert (await engine.changes())[-2:] == [("SCHEDULE", "PAUSED", 1), ("RUN", "WITHDRAWN", 2)]
    [audit] = await engine.rows("SELECT action, summary FROM audit")
    assert audit["action"] == "schedule.autoPause"


async def test_a_pause_with_nothing_prepared_leaves_the_cursor(engine: Engine) -> None:
    run = await started(engine)
    await engine.rows("UPDATE schedule SET pause_after_failures = 1")
    await engine.finish(ended(run, FAILED))
    row = await engine.row("SELECT state, cursor_at FROM schedule")
    assert tuple(row.values()) == ("PAUSED", NOON - SECOND)


POISON = "\0 and \ud800"


async def test_words_that_postgresql_cannot_keep_are_replaced(engine: Engine) -> None:
    run, other = await started(engine), await started(engine)
    failure = Failure(FailureReason.ERROR, POISON, POISON * 100_000, detail=POISON)
    bad = ended(run, Outcome(RunState.FAILED, error=failure), progress_message=POISON)
    assert await engine.finish(bad, ended(other)) == 2
    row = await engine.row("SELECT message, error FROM run WHERE id = :id", id=run.id)
    assert row["message"].startswith("\ufffd and ")
    assert len(row["error"]["message"]) <= 16 * 1024


@pytest.mark.parametrize(
    "result",
    [{"a": "\0"}, {"a": "\ud800"}, {"a": 10**30}, object()],
    ids=["NUL", "half a surrogate pair", "a huge number", "no JSON"],
)
async def test_a_result_that_cannot_be_kept_is_told_from_a_server_that_is_away(
    engine: Engine, result: Any
) -> None:
    """The finisher must know which of the two it is: one is not tried again."""
    run = await started(engine)
    bad = ended(run, Outcome(RunState.SUCCEEDED, result=result))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the driver's, or the encoder's
        await engine.finish(bad)
    assert is_refused(caught.value)
    assert await engine.finish(bad.stripped()) == 1
    # Not an error that is tried again: the job has done its work.
    assert await engine.state_of(run.id) == ("FAILED", "REJECTED")
    row = await engine.row("SELECT error FROM run")
    assert row["error"]["type"] == "EndRefused"


async def test_a_lone_surrogate_in_text_is_refused_by_the_driver_and_known_as_such(
    engine: Engine,
) -> None:
    with pytest.raises(DBAPIError) as caught:
        await engine.rows("SELECT cast(:value AS text)", value="\ud800")
    assert is_refused(caught.value)


async def test_a_statement_that_took_too_long_may_be_tried_again(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as caught:
        await engine.rows("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)")
    assert not is_refused(caught.value)
