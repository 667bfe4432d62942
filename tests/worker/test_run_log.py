"""What a run's log keeps, counts and forgets, without a server."""

from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest

from app.core.retry import RetryPolicy
from app.core.vocabulary import JobKind, LogLevel
from app.services.claiming import ClaimedRun
from app.store.run_logs import LogChunk
from app.worker import run_log
from app.worker.run_log import BURST_LINES, LINES_A_SECOND, MOST_BYTES, MOST_LINES, Memory, RunLog
from tests.handlers.conftest import execution_of

NOTE = "… lines are missing here: the log is full or came too fast …"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_log, "elapsed_seconds", clock)
    return clock


def claimed(*, attempt: int = 1, max_attempts: int = 1, log_lines: int = 0) -> ClaimedRun:
    execution = execution_of(JobKind.PYTHON, {}, attempt=attempt, max_attempts=max_attempts)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ClaimedRun(
        id=execution.run_id,
        project_id=uuid4(),
        job_id=uuid4(),
        schedule_id=None,
        execution=execution,
        retry=RetryPolicy(),
        fencing_token=1,
        attempt=attempt,
        free_attempts=0,
        due_at=now,
        started_at=now,
        log_lines=log_lines,
        queue="default",
        limited_queue=None,
        at_most_once=False,
        has_chains=False,
    )


def texts(*chunks: LogChunk) -> list[str]:
    return [line[3] for chunk in chunks for line in orjson.loads(chunk.lines)]


def dropped(*chunks: LogChunk) -> int:
    return sum(chunk.dropped for chunk in chunks)


def test_lines_are_kept_until_they_are_known_to_be_written(clock: Clock) -> None:
    """PostgreSQL was away. Made to fail by forgetting the chunks that were handed out."""
    log = RunLog(claimed())
    log.write("one")
    first = log.unwritten()
    log.write("two")
    second = log.unwritten()
    assert texts(*first) == ["one"]
    assert texts(*second) == ["one", "two"]
    assert [chunk.sequence for chunk in second] == [1, 2]
    log.confirm(first)
    log.write("three")
    assert texts(*log.rest()) == ["two", "three"]


def test_colours_are_kept_and_what_cannot_be_stored_is_replaced(clock: Clock) -> None:
    log = RunLog(claimed())
    log.write("\x1b[31mred\x1b[0m\0", level=LogLevel.ERROR, stream="stderr")
    [chunk] = log.rest()
    [[_, level, stream, text]] = orjson.loads(chunk.lines)
    assert (level, stream, text) == ("ERROR", "stderr", "\x1b[31mred\x1b[0m�")


def test_a_flood_is_cut_to_a_rate_counted_and_marked(clock: Clock) -> None:
    """Made to fail by letting `room` forget the rate."""
    log, said = RunLog(claimed()), 0
    chunks: list[LogChunk] = []
    for _ in range(3):
        for _ in range(20_000):
            log.write(str(said))
            said += 1
        chunks += log.unwritten()
        log.confirm(chunks)
        clock.seconds += 1
    chunks += log.rest()
    kept = [text for text in texts(*chunks) if text != NOTE]
    assert len(kept) == BURST_LINES + 2 * LINES_A_SECOND + run_log._TAIL_LINES
    assert kept[-1] == str(said - 1)
    assert dropped(*chunks) == said - len(kept)
    # Once where each stretch of dropped lines ends.
    assert texts(*chunks).count(NOTE) == 3


def test_lines_a_handler_did_not_even_write_are_counted_and_marked(clock: Clock) -> None:
    log = RunLog(claimed())
    log.drop(7)
    log.write("after")
    [chunk] = log.rest()
    assert (texts(chunk), chunk.dropped) == ([NOTE, "after"], 7)


def test_a_log_is_bounded_in_lines_over_all_attempts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made to fail by giving each attempt the whole bound."""
    monkeypatch.setattr(run_log, "MOST_LINES", 10_000)
    first = RunLog(claimed(max_attempts=2))
    assert count_kept(first, clock) <= 5_000 + 100
    last = RunLog(claimed(attempt=2, max_attempts=2, log_lines=2_500))
    assert count_kept(last, clock) <= 7_500 + 100


def test_an_attempt_that_is_left_nothing_still_says_why_it_failed(clock: Clock) -> None:
    log = RunLog(claimed(attempt=5, log_lines=2 * MOST_LINES))
    for number in range(1000):
        log.write(str(number))
    assert texts(*log.rest())[-1] == "999"


def test_a_log_is_bounded_in_bytes(clock: Clock) -> None:
    log, chunks = RunLog(claimed()), list[LogChunk]()
    for _ in range(2 * MOST_BYTES // 10_000):
        log.write("x" * 10_000)
        chunks += log.unwritten()
        log.confirm(chunks)
        clock.seconds += 1
    chunks += log.rest()
    assert MOST_BYTES <= sum(len(text) for text in texts(*chunks)) <= MOST_BYTES + 50_000
    assert dropped(*chunks) > 0


def test_the_logs_of_a_worker_share_a_bound_in_memory(clock: Clock) -> None:
    """PostgreSQL is away and every run goes on talking."""
    memory = Memory(100_000)
    logs = [RunLog(claimed(), memory) for _ in range(10)]
    for log in logs:
        for _ in range(100):
            log.write("x" * 1000)
        log.unwritten()
    assert sum(len(text) for log in logs for text in texts(*log.unwritten())) <= 102_000
    for log in logs:
        log.confirm(log.unwritten())
    assert memory.left_bytes == 100_000


def test_an_endless_flood_leaves_few_rows_that_only_count(clock: Clock) -> None:
    """Made to fail by writing a count with each flush."""
    log, chunks = RunLog(claimed(attempt=5, log_lines=2 * MOST_LINES)), list[LogChunk]()
    for _ in range(1_000):
        for _ in range(100):
            log.write("x")
        new = log.unwritten()
        log.confirm(new)
        chunks += new
    chunks += log.rest()
    assert len(chunks) < 30
    assert dropped(*chunks) + len([t for t in texts(*chunks) if t == "x"]) == 100_000
    assert len({chunk.sequence for chunk in chunks}) == len(chunks)


def count_kept(log: RunLog, clock: Clock) -> int:
    kept = 0
    for _ in range(20):
        for _ in range(LINES_A_SECOND):
            log.write("x")
        chunks = log.unwritten()
        kept += len(texts(*chunks))
        log.confirm(chunks)
        clock.seconds += 1
    return kept + len(texts(*log.rest()))
