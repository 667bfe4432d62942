"""The promises, as functions that return what breaks them: nothing, when they are kept.

The numbers are those of `docs/reliability.md`. I9, the audit chain, and I10, what subscribers see,
are judged where those live: in the tests of the audit and of live queries.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import psutil

from app.core.ids import Kind, public_id
from tests.faults.evidence import ChainRecord, Evidence, Record, Try

_REGULAR = ("SCHEDULE", "CATCH_UP")
_NEVER_BEGAN = ("SKIPPED", "MISSED")
# Of our own: what the product's table says is not evidence.
_LEGAL = {
    None: {"QUEUED", "SKIPPED", "MISSED"},
    "QUEUED": {"QUEUED", "RUNNING", "CANCELLED", "SKIPPED", "MISSED"},
    "RUNNING": {
        *("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLED", "LOST", "QUEUED"),
    },
}
# Two clocks that are read one after the other.
_TOLERANCE_SECONDS = 0.001

FOR_EVER = datetime.max.replace(tzinfo=UTC)

Violations = list[str]
# The run it follows, the chain, and its item.
_Follower = tuple[UUID | None, UUID | None, int | None]


def complete(
    evidence: Evidence,
    schedule_id: UUID,
    occurrences: Iterable[datetime],
    *,
    perhaps: Container[datetime] = (),
) -> Violations:
    """I1: each occurrence has exactly one record, or lies inside exactly one recorded range.

    Those in `perhaps` may have a record as well: they came while an edit was being written.
    """
    expected = set(occurrences)
    rows = [
        record
        for record in evidence.records.values()
        if record.schedule_id == schedule_id and record.cause in _REGULAR
    ]
    single = Counter(row.scheduled_for for row in rows if row.range_end is None)
    ranges = [row for row in rows if row.range_end is not None]
    found: Violations = []
    for instant in sorted(expected | set(single)):
        inside = [row for row in ranges if row.scheduled_for <= instant <= _end(row)]
        count = single[instant] + len(inside)
        if instant not in expected and instant in perhaps:
            continue
        if instant not in expected:
            found.append(f"I1: {instant} is no occurrence of {schedule_id}, and has a record")
        elif count != 1:
            found.append(f"I1: {instant} of {schedule_id} has {count} records")
    for row in ranges:
        held = sum(row.scheduled_for <= instant <= _end(row) for instant in expected)
        if row.range_count not in {None, held}:
            found.append(f"I1: range {row.id} says {row.range_count} and holds {held}")
    return found


def on_time(evidence: Evidence, *, within_seconds: float = float("inf")) -> Violations:
    """I2: no first try begins before it is due, or later than `within_seconds` after it."""
    found: Violations = []
    for run_id, tries in evidence.tries_of().items():
        record = evidence.records.get(run_id)
        if record is None:
            continue
        late = tries[0].began - record.due_at.timestamp()
        if not -_TOLERANCE_SECONDS <= late <= within_seconds:
            found.append(f"I2: {run_id} began {late:.3f} s after it was due")
    return found


def never_two_live_attempts(evidence: Evidence) -> Violations:
    """I3: two tries of a run never overlap unless the earlier one's lease had expired."""
    return [
        f"I3: attempt {later.attempt} of {run_id} began while attempt {earlier.attempt} was alive"
        for run_id, tries in evidence.tries_of().items()
        for earlier, later in pairwise(tries)
        if later.began + _TOLERANCE_SECONDS < earlier.held_until
    ]


def all_over(evidence: Evidence, *, due_until: datetime) -> Violations:
    """I4: what was due by then has reached a final state, and nothing of it is alive."""
    found = [
        f"I4: {record.id}, due {record.due_at}, is still {record.state}"
        for record in evidence.records.values()
        if record.due_at <= due_until and not record.is_over
    ]
    for one in evidence.tries():
        record = evidence.records.get(one.run_id)
        if one.ended is None and record is not None and record.is_over:
            found.append(f"I4: attempt {one.attempt} of {one.run_id} has never ended")
    return found


def no_ghosts(evidence: Evidence) -> Violations:
    """I5: what was seen outside belongs to a run, and what a run claims was seen outside."""
    found: Violations = []
    seen = Counter((line.run_id, line.attempt, line.what) for line in evidence.lines)
    found += [f"I5: {key} was said {count} times" for key, count in seen.items() if count > 1]
    for line in evidence.lines:
        record = evidence.records.get(line.run_id)
        if record is None:
            found.append(f"I5: {line.run_id} ran and has no record")
        elif line.attempt > record.attempt:
            found.append(f"I5: attempt {line.attempt} of {line.run_id} has no record")
        elif line.occurrence != record.scheduled_for:
            found.append(f"I5: {line.run_id} ran for {line.occurrence}")
        elif record.state in _NEVER_BEGAN:
            found.append(f"I5: {line.run_id} ran and is recorded as {record.state}")
    for record in evidence.records.values():
        told = {what for what in ("start", "end") if (record.id, record.attempt, what) in seen}
        if record.state == "SUCCEEDED" and told != {"start", "end"}:
            found.append(f"I5: {record.id} is said to have succeeded; outside: {told or 'nothing'}")
    return found


def within_limits(evidence: Evidence) -> Violations:
    """I6: overlap policies and the limits of jobs and queues hold at every instant."""
    tries = [one for one in evidence.tries() if one.run_id in evidence.records]

    def of(key: Callable[[Record], UUID | str | None]) -> dict[UUID | str, list[Try]]:
        found: defaultdict[UUID | str, list[Try]] = defaultdict(list)
        for one in tries:
            if (name := key(evidence.records[one.run_id])) is not None:
                found[name].append(one)
        return found

    alone = of(lambda record: record.schedule_id if record.overlap != "ALLOW" else None)
    return [
        *_above("schedule", alone, dict.fromkeys(alone, 1)),
        *_above("job", of(lambda record: record.job_id), evidence.job_limits),
        *_above("queue", of(lambda record: record.queue), evidence.queue_limits),
    ]


def attempts_counted(evidence: Evidence) -> Violations:
    """I7: attempts never exceed the limit; those lost with a worker are counted apart."""
    found: Violations = []
    numbers: defaultdict[UUID, list[tuple[int, str]]] = defaultdict(list)
    for attempt in evidence.attempts:
        numbers[attempt.run_id].append((attempt.number, attempt.state))
    for record in evidence.records.values():
        own = record.attempt - record.crash_count
        if own > record.max_attempts:
            found.append(f"I7: {record.id} made {own} attempts of {record.max_attempts}")
        kept = sorted(number for number, _ in numbers[record.id])
        ended = record.attempt if record.state != "RUNNING" else record.attempt - 1
        if kept != list(range(1, ended + 1)):
            found.append(f"I7: {record.id} made {record.attempt} attempts and kept {kept}")
        lost = sum(state in {"LOST", "CANCELLED"} for _, state in numbers[record.id])
        if record.crash_count > lost:
            found.append(f"I7: {record.id} counts {record.crash_count} crashes, {lost} are kept")
    return found


def nothing_after_cancel(evidence: Evidence) -> Violations:
    """I8, as it was seen outside: once a cancel is confirmed nothing of the run is alive."""
    found: Violations = []
    for run_id, tries in evidence.tries_of().items():
        record = evidence.records.get(run_id)
        if record is None or record.state != "CANCELLED":
            continue
        assert record.finished_at is not None
        confirmed = record.finished_at.timestamp()
        for one in tries:
            if one.held_until > confirmed + _TOLERANCE_SECONDS:
                found.append(f"I8: attempt {one.attempt} of {run_id} lived on after its cancel")
    return found


def no_survivors(run_ids: Iterable[UUID]) -> Violations:
    """I8, by the operating system's own list: no process of these runs is alive."""
    marks = {public_id(Kind.RUN, run_id) for run_id in run_ids}
    found: Violations = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get("TICKWHEEL_RUN_ID")
            if mark in marks and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"I8: process {process.pid} of {mark} is alive")
        except psutil.Error:
            continue
    return found


def audited(
    kept: Mapping[UUID, int],
    *,
    accepted: Mapping[UUID, int],
    tried: Mapping[UUID, int],
    chain_holds: bool,
) -> Violations:
    """I9: the audit chain verifies; each accepted mutation has its entry, and no other has one.

    A mutation whose answer was lost was `tried`, and may have been accepted.
    """
    found = [] if chain_holds else ["I9: the chain does not hold"]
    for subject in kept.keys() | accepted.keys():
        count = kept.get(subject, 0)
        if not accepted.get(subject, 0) <= count <= tried.get(subject, 0):
            found.append(
                f"I9: {subject} has {count} entries; {accepted.get(subject, 0)} of"
                f" {tried.get(subject, 0)} mutations were accepted"
            )
    return found


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a schedule had planned and must not start any more.

    A pause or an edit was confirmed at `since`; at `until` somebody began to resume it. Instants in
    `still_due` belong to what holds since then.
    """

    schedule_id: UUID
    since: datetime
    until: datetime = FOR_EVER
    still_due: Container[datetime] = ()


def nothing_withdrawn_starts(evidence: Evidence, withdrawn: Iterable[Withdrawn]) -> Violations:
    """I13: a pause or an edit takes back what was planned for instants after it."""
    tries_of = evidence.tries_of()
    found: Violations = []
    for past in withdrawn:
        for run_id, tries in tries_of.items():
            record = evidence.records.get(run_id)
            if record is None or record.schedule_id != past.schedule_id:
                continue
            is_meant = record.cause in _REGULAR and record.scheduled_for > past.since
            began = tries[0].began
            while_it_holds = past.since.timestamp() < began < past.until.timestamp()
            if is_meant and while_it_holds and record.scheduled_for not in past.still_due:
                found.append(f"I13: {run_id}, for {record.scheduled_for}, began after {past.since}")
    return found


def no_stale_writes(evidence: Evidence) -> Violations:
    """I11: a stale worker changes neither a finished run nor one that was claimed again."""
    found: Violations = []
    for change in evidence.changes:
        if change.state not in _LEGAL.get(change.state_before, set()):
            found.append(f"I11: {change.run_id} went from {change.state_before} to {change.state}")
        if change.attempt_before is not None and change.attempt < change.attempt_before:
            found.append(f"I11: {change.run_id} went back to attempt {change.attempt}")
        if None not in {change.token_before, change.token} and (
            (change.token or 0) < (change.token_before or 0)
        ):
            found.append(f"I11: {change.run_id} went back to an older fencing token")
    for record in evidence.records.values():
        told = record.result.get("attempt") if isinstance(record.result, dict) else None
        if record.state == "SUCCEEDED" and told not in {None, record.attempt}:
            found.append(f"I11: attempt {told} of {record.id} was written as {record.attempt}")
    return found


def chained_once(evidence: Evidence) -> Violations:
    """I12: an end has started what its chains ask for, each once, and nothing else was started."""
    started: Counter[_Follower] = Counter(
        (record.chained_from_id, record.chain_id, record.chain_item)
        for record in evidence.records.values()
        if record.chained_from_id is not None
    )
    asked: dict[_Follower, str] = {}
    for chain in evidence.chains:
        for record in evidence.records.values():
            if record.job_id == chain.job_id:
                for item, skipped in _followers(chain, record):
                    asked[record.id, chain.id, item] = skipped
    found = [
        f"I12: {key} was started {started[key]} times, not {int(key in asked)}"
        for key in started.keys() | asked.keys()
        if started[key] != int(key in asked)
    ]
    for record in evidence.records.values():
        reason = asked.get((record.chained_from_id, record.chain_id, record.chain_item), "")
        if reason and (record.state, record.reason) != ("SKIPPED", reason):
            found.append(f"I12: {record.id} is {record.state} and not SKIPPED for {reason}")
    return found


def _followers(chain: ChainRecord, record: Record) -> Iterable[tuple[int, str]]:
    """Return the items that an end starts by a chain, each with why it is skipped, if it is."""
    if record.state in {"FAILED", "TIMED_OUT", "LOST"}:
        yield from [(0, "DEPENDENCY")] if chain.after == "SUCCEEDED" else [(0, "")]
    if record.state != "SUCCEEDED" or chain.after == "FAILED":
        return
    if chain.fan_out is None:
        yield 0, ""
        return
    assert chain.fan_out_limit is not None
    items = len(record.result[chain.fan_out])
    yield from ((item, "") for item in range(min(items, chain.fan_out_limit)))
    if items > chain.fan_out_limit:
        yield chain.fan_out_limit, "LIMIT"


def _above(
    what: str,
    tries: Mapping[UUID | str, Sequence[Try]],
    limits: Mapping[Any, int],
) -> Violations:
    """Walk through the starts and ends in the order of time, and count."""
    found: Violations = []
    for name, limit in limits.items():
        marks = [(one.began, 1) for one in tries.get(name, ())]
        # An end at the very instant of a start comes first.
        marks += [(one.held_until - _TOLERANCE_SECONDS, -1) for one in tries.get(name, ())]
        alive = 0
        for at, change in sorted(marks):
            alive += change
            if alive > limit:
                found.append(f"I6: {alive} at once in {what} {name}, limit {limit}, at {at:.3f}")
                break
    return found


def _end(record: Record) -> datetime:
    assert record.range_end is not None
    return record.range_end


AT_ANY_MOMENT = (
    never_two_live_attempts,
    no_ghosts,
    within_limits,
    attempts_counted,
    nothing_after_cancel,
    no_stale_writes,
    on_time,
    chained_once,
)
"""What holds while everything is under way, too."""


def broken(evidence: Evidence) -> Violations:
    """Return whatever does not hold of what holds at any moment."""
    return [violation for check in AT_ANY_MOMENT for violation in check(evidence)]
