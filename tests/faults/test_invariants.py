"""Each invariant is shown evidence that breaks it: a check that cannot fail proves nothing."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.ids import Kind, public_id
from tests.faults import invariants
from tests.faults.evidence import AttemptRecord, ChainRecord, Evidence, Record, every_so_often
from tests.faults.invariants import Violations, Withdrawn
from tests.faults.journal import Change
from tests.faults.witness import Line

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
RUN, OTHER, JOB, SCHEDULE = (UUID(int=number) for number in range(1, 5))
MINUTES = every_so_often(60, anchor=NOON, after=NOON, until=NOON + timedelta(minutes=5))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def record(run_id: UUID = RUN, **changes: Any) -> Record:
    """A scheduled run that succeeded in its first attempt."""
    kept = Record(
        id=run_id,
        job_id=JOB,
        schedule_id=SCHEDULE,
        cause="SCHEDULE",
        state="SUCCEEDED",
        scheduled_for=NOON,
        due_at=NOON,
        attempt=1,
        finished_at=at(2),
        result={"attempt": 1},
    )
    return replace(kept, **changes)


def said(
    began: float, ended: float | None, *, run_id: UUID = RUN, attempt: int = 1, pid: int = 7
) -> list[Line]:
    lines = [Line(run_id, attempt, NOON, pid, "start", at(began).timestamp())]
    if ended is not None:
        lines.append(Line(run_id, attempt, NOON, pid, "end", at(ended).timestamp()))
    return lines


def kept(number: int = 1, state: str = "SUCCEEDED", run_id: UUID = RUN) -> AttemptRecord:
    return AttemptRecord(run_id, number, state, at(2))


def taken_back(seconds: float, *, lease_until: float, attempt: int = 1) -> Change:
    """A sweep takes a run from its worker."""
    return Change(
        RUN,
        at(seconds),
        "QUEUED",
        attempt,
        state_before="RUNNING",
        attempt_before=attempt,
        lease_expires_at=at(lease_until),
    )


def evidence(*records: Record, **given: Any) -> Evidence:
    return Evidence({one.id: one for one in records or (record(),)}, **given)


GOOD = evidence(attempts=[kept()], lines=said(0.1, 1))
TWO_TRIES = [*said(0, None, pid=7), *said(20, 21, attempt=2, pid=8)]
RETRIED = record(attempt=2, crash_count=1, result={"attempt": 2})


def test_a_run_as_it_should_be_breaks_nothing() -> None:
    assert invariants.broken(GOOD) == []
    assert invariants.on_time(GOOD, within_seconds=1) == []
    assert invariants.all_over(GOOD, due_until=NOON) == []


def minute(number: int, **changes: Any) -> Record:
    return record(UUID(int=100 + number), scheduled_for=MINUTES[number], **changes)


def stretch(first: int, last: int, count: int | None, number: int = 50) -> Record:
    return minute(
        first, id=UUID(int=number), state="MISSED", range_end=MINUTES[last], range_count=count
    )


@pytest.mark.parametrize(
    ("records", "is_complete"),
    [
        ([minute(number) for number in range(5)], True),
        ([minute(0), minute(1), stretch(2, 4, 3)], True),
        ([minute(0), minute(1), stretch(2, 4, None)], True),
        ([minute(number) for number in range(4)], False),
        ([*(minute(number) for number in range(5)), replace(minute(0), id=OTHER)], False),
        ([minute(0), minute(1), minute(2), stretch(2, 4, 3)], False),
        ([minute(0), stretch(1, 3, 3), stretch(3, 4, 2, number=51)], False),
        ([minute(0), minute(1), stretch(2, 4, 2)], False),
        ([*(minute(number) for number in range(5)), record(scheduled_for=at(61))], False),
    ],
    ids=[
        *("each", "range", "uncounted range", "hole", "duplicate", "also in a range"),
        *("in two ranges", "miscounted range", "no occurrence"),
    ],
)
def test_i1_sees_holes_and_duplicates(records: list[Record], is_complete: bool) -> None:
    found = invariants.complete(evidence(*records), SCHEDULE, MINUTES)
    assert (found == []) == is_complete, found


def test_the_expected_instants_are_those_after_the_cursor_up_to_now() -> None:
    found = every_so_often(60, anchor=NOON, after=at(60), until=at(180))
    assert found == [at(120), at(180)]


def breaks(check: Callable[[Evidence], Violations], given: Evidence, number: str) -> None:
    found = check(given)
    assert found
    assert all(violation.startswith(f"{number}: ") for violation in found)


@pytest.mark.parametrize("began", [-0.5, 1.5], ids=["early", "late"])
def test_i2_sees_what_begins_early_or_late(began: float) -> None:
    given = evidence(lines=said(began, 3))
    breaks(lambda seen: invariants.on_time(seen, within_seconds=1), given, "I2")


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        # Its lease expired at 15 and it was taken at 17, before the second began.
        ({"changes": [taken_back(17, lease_until=15)]}, True),
        ({"deaths": {7: at(10).timestamp()}}, True),
        ({}, False),
        # Taken while its lease stood.
        ({"changes": [taken_back(17, lease_until=18)]}, False),
        # Taken only after the second had begun.
        ({"changes": [taken_back(22, lease_until=15)]}, False),
    ],
    ids=["lease expired", "died", "alive", "lease stood", "taken too late"],
)
def test_i3_sees_a_second_attempt_beside_a_live_one(given: dict[str, Any], holds: bool) -> None:
    found = invariants.never_two_live_attempts(evidence(RETRIED, lines=TWO_TRIES, **given))
    assert (found == []) == holds, found


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING"])
def test_i4_sees_what_never_ends(state: str) -> None:
    given = evidence(record(state=state, finished_at=None))
    breaks(lambda seen: invariants.all_over(seen, due_until=NOON), given, "I4")
    assert invariants.all_over(given, due_until=at(-1)) == []
    given = replace(GOOD, lines=said(0.1, None))
    breaks(lambda seen: invariants.all_over(seen, due_until=NOON), given, "I4")


@pytest.mark.parametrize(
    "given",
    [
        replace(GOOD, lines=[*GOOD.lines, *said(1, 2, run_id=OTHER)]),
        replace(GOOD, lines=[*GOOD.lines, *said(3, 4, attempt=2)]),
        replace(GOOD, lines=[*GOOD.lines, *said(3, 4)]),
        replace(GOOD, lines=said(0.1, None)),
        replace(GOOD, lines=[]),
        evidence(record(state="SKIPPED", attempt=1), lines=said(0.1, 1)),
        evidence(record(scheduled_for=at(60)), lines=said(0.1, 1)),
    ],
    ids=[
        *("no run", "no attempt", "twice", "success without an end", "success without a start"),
        *("skipped", "another occurrence"),
    ],
)
def test_i5_sees_effects_without_a_record_and_records_without_an_effect(given: Evidence) -> None:
    breaks(invariants.no_ghosts, given, "I5")


BESIDE = {
    "records": {RUN: record(), OTHER: record(OTHER, scheduled_for=at(60))},
    "lines": [*said(0, 10), *said(9, 12, run_id=OTHER)],
}


@pytest.mark.parametrize(
    "limits",
    [{"job_limits": {JOB: 1}}, {"queue_limits": {"default": 1}}, {}],
    ids=["job", "queue", "overlap"],
)
def test_i6_sees_too_many_at_once(limits: dict[str, Any]) -> None:
    given = Evidence(**{**BESIDE, **limits})
    if not limits:
        given = replace(
            given,
            records={id_: replace(row, overlap="SKIP") for id_, row in given.records.items()},
        )
    breaks(invariants.within_limits, given, "I6")
    one_after_the_other = [*said(0, 9), *said(9, 12, run_id=OTHER)]
    assert invariants.within_limits(replace(given, lines=one_after_the_other)) == []


@pytest.mark.parametrize(
    "given",
    [
        evidence(record(attempt=2), attempts=[kept(1), kept(2)]),
        evidence(RETRIED, attempts=[kept(2)]),
        evidence(RETRIED, attempts=[kept(1, "FAILED"), kept(2)]),
        evidence(record(), attempts=[kept(1), kept(2)]),
    ],
    ids=["too many", "one not kept", "a failure as a crash", "one that never was"],
)
def test_i7_sees_attempts_that_do_not_add_up(given: Evidence) -> None:
    breaks(invariants.attempts_counted, given, "I7")


def test_i7_counts_attempts_lost_with_a_worker_apart() -> None:
    given = evidence(RETRIED, attempts=[kept(1, "LOST"), kept(2)])
    assert invariants.attempts_counted(given) == []


def test_i8_sees_what_lives_on_after_its_cancel() -> None:
    cancelled = record(state="CANCELLED", result=None)
    breaks(invariants.nothing_after_cancel, evidence(cancelled, lines=said(0, 5)), "I8")
    breaks(invariants.nothing_after_cancel, evidence(cancelled, lines=said(0, None)), "I8")
    assert invariants.nothing_after_cancel(evidence(cancelled, lines=said(0, 1))) == []


def test_i8_finds_a_surviving_process_wherever_it_is() -> None:
    mark = {"TICKWHEEL_RUN_ID": public_id(Kind.RUN, RUN)}
    code = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=mark,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(invariants.no_survivors([RUN])) == 1
        assert invariants.no_survivors([OTHER]) == []
        process.kill()
    assert invariants.no_survivors([RUN]) == []


@pytest.mark.parametrize(
    "change",
    [
        Change(RUN, at(5), "FAILED", 1, state_before="SUCCEEDED", attempt_before=1),
        Change(RUN, at(5), "RUNNING", 2, state_before="LOST", attempt_before=1),
        Change(RUN, at(5), "SUCCEEDED", 1, state_before="QUEUED", attempt_before=1),
        Change(RUN, at(5), "QUEUED", 1, state_before="RUNNING", attempt_before=2),
        Change(
            *(RUN, at(5), "RUNNING", 2),
            state_before="QUEUED",
            attempt_before=1,
            token_before=9,
            token=8,
        ),
    ],
    ids=["end written over", "raised from the dead", "never ran", "attempt", "token"],
)
def test_i11_sees_writes_over_what_is_over(change: Change) -> None:
    breaks(invariants.no_stale_writes, replace(GOOD, changes=[change]), "I11")


def test_i11_sees_the_end_of_one_attempt_written_as_that_of_another() -> None:
    given = evidence(record(attempt=2, result={"attempt": 1}))
    breaks(invariants.no_stale_writes, given, "I11")


CHAIN = ChainRecord(UUID(int=9), JOB, UUID(int=5), fan_out="items", fan_out_limit=2)
FIRST, SECOND, REST = (UUID(int=number) for number in range(11, 14))


def chained(run_id: UUID, item: int, **changes: Any) -> Record:
    """A run that one of the items of the first run has started."""
    of = {"chained_from_id": RUN, "chain_id": CHAIN.id, "chain_item": item}
    own = {"job_id": CHAIN.target_id, "schedule_id": None, "cause": "CHAIN"}
    return record(run_id, **{**own, **of, **changes})


def fanned_out(**changes: Record) -> Evidence:
    """A run of three items, of which its chain takes two; changes stand for one of the runs."""
    runs = {
        "parent": record(result={"attempt": 1, "items": [{}, {}, {}]}),
        "first": chained(FIRST, 0),
        "second": chained(SECOND, 1),
        "rest": chained(REST, 2, state="SKIPPED", reason="LIMIT", attempt=0),
    }
    records = {each.id: each for each in (runs | changes).values()}
    return Evidence(records=records, chains=[CHAIN])


def test_i12_is_content_with_what_chains_ask_for() -> None:
    assert invariants.chained_once(fanned_out()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"first": chained(SECOND, 1)},
        {"again": chained(UUID(int=14), 0)},
        {"more": chained(UUID(int=14), 3)},
        {"rest": chained(REST, 2)},
        {"parent": record(state="RUNNING", result=None)},
        {"parent": record(state="FAILED", result=None)},
        {"parent": record(state="CANCELLED", result=None)},
        {"other": record(OTHER, result={"items": [{}]})},
    ],
    ids=[
        "one lost",
        "twice",
        "one too many",
        "limit passed",
        "early",
        "failed",
        "cancelled",
        "none",
    ],
)
def test_i12_sees_what_was_not_started_once(changes: dict[str, Record]) -> None:
    breaks(invariants.chained_once, fanned_out(**changes), "I12")


def test_i13_sees_what_a_pause_or_an_edit_should_have_taken_back() -> None:
    """What was due before, or is due by what holds now, may start; so may all after a resume."""
    planned = evidence(record(scheduled_for=at(10), due_at=at(10)), lines=said(10, 11))
    for since, until, still_due, is_broken in (
        (5, 20, (), True),
        (5, 9, (), False),
        (5, 20, (at(10),), False),
        (10, 20, (), False),
    ):
        past = Withdrawn(SCHEDULE, at(since), at(until), still_due)
        found = invariants.nothing_withdrawn_starts(planned, [past])
        assert bool(found) == is_broken
        assert all(violation.startswith("I13:") for violation in found)
    other = Withdrawn(OTHER, at(5))
    assert invariants.nothing_withdrawn_starts(planned, [other]) == []


@pytest.mark.parametrize(
    ("kept", "accepted", "tried", "chain_holds", "is_broken"),
    [
        ({RUN: 1}, {RUN: 1}, {RUN: 1}, True, False),
        ({RUN: 2}, {RUN: 1}, {RUN: 2}, True, False),
        ({RUN: 1}, {RUN: 1}, {RUN: 1}, False, True),
        ({}, {RUN: 1}, {RUN: 1}, True, True),
        ({RUN: 2}, {RUN: 1}, {RUN: 1}, True, True),
        ({OTHER: 1}, {}, {}, True, True),
    ],
    ids=["one", "an answer was lost", "chain", "none", "two", "of nothing"],
)
def test_i9_sees_entries_that_do_not_add_up(
    kept: dict[UUID, int],
    accepted: dict[UUID, int],
    tried: dict[UUID, int],
    chain_holds: bool,
    is_broken: bool,
) -> None:
    found = invariants.audited(kept, accepted=accepted, tried=tried, chain_holds=chain_holds)
    assert [violation[:3] for violation in found] == ["I9:"] * is_broken
