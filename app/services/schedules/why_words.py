"""What `whyNot` says, in words that help at three in the morning: what happened, and what to do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from app.core.firing import CIRCUIT_BREAKER
from app.core.time import local_time
from app.core.time.phrases import duration_in_words
from app.core.vocabulary import RunReason, RunState
from app.models import Run

_BACKFILL: Final = "Trigger the schedule by hand, or backfill, if it is still wanted."
_NOT_FIRED: Final = "No worker fired it in time: they were down, cut off or overloaded."

_REASONS: Final[Mapping[RunReason, str]] = {
    RunReason.PAUSED: f"The pause was ended without running it. {_BACKFILL}",
    RunReason.STOPPED: f"The scheduler was stopped. {_BACKFILL}",
    RunReason.OUTSIDE_WINDOW: "It lay outside the schedule's window.",
    RunReason.OVERRIDDEN: "Somebody decided that this occurrence does not run.",
    RunReason.ARCHIVED: "The schedule was archived.",
    RunReason.CIRCUIT_BREAKER: "The schedule fired implausibly often, so its circuit breaker "
    "stopped it: see lastError, and mend it by an edit.",
    RunReason.DEPENDENCY: "A run that it depends on had failed.",
    RunReason.OVERLAP: "Another run of the schedule was still busy when it was due. Look at how "
    "long runs take, or choose another overlap policy.",
    RunReason.TOO_LATE: f"{_NOT_FIRED} By the time they were back it lay outside the catch-up "
    f"window. {_BACKFILL}",
    RunReason.COALESCED: f"{_NOT_FIRED} A newer occurrence ran in its place, because catchUp is "
    "LATEST.",
    RunReason.CATCH_UP_NONE: f"{_NOT_FIRED} The schedule catches nothing up. {_BACKFILL}",
    RunReason.CALENDAR: "A calendar excluded it.",
    RunReason.SPACING: "It came sooner after the run before it than the schedule's spacing allows.",
    RunReason.LIMIT: "A limit was reached: catchUpLimit, if it had been missed, or else maxRuns.",
    RunReason.QUARANTINED: "The schedule was quarantined, because it could not be planned: see "
    "lastError, and mend it by an edit.",
    RunReason.CANCEL_REQUESTED: "Somebody cancelled it before it started.",
    RunReason.REPLACED: "A newer run took its place.",
    RunReason.REJECTED: "Whom the schedule acts as might not trigger it any more: give it another "
    "owner, by ownerId.",
}


def moment(instant: datetime, timezone: str) -> str:
    """Return an instant as a person in that zone reads it."""
    local, offset = local_time(instant, timezone)
    where = "UTC" if timezone == "UTC" else f"{offset} ({timezone})"
    return f"{local.isoformat(sep=' ')} {where}"


def actor(record: Mapping[str, Any] | None) -> str:
    """Return who did something, or "somebody"."""
    return "somebody" if record is None else str(record["name"])


def paused(columns: Mapping[str, Any]) -> str:
    """Say who paused a schedule, when, until when and why."""
    timezone = columns["timezone"]
    since, until = columns["paused_at"], columns["paused_until"]
    when = "" if since is None else f" at {moment(since, timezone)}"
    end = "until somebody resumes it" if until is None else f"until {moment(until, timezone)}"
    why = _sentence(columns["state_reason"] or "No reason was given.")
    return f"{actor(columns['paused_by'])} paused the schedule{when}, {end}: {why}"


def why_quarantined(last_error: Mapping[str, Any] | None) -> RunReason:
    """Return the reason that keeps a quarantined schedule from firing."""
    is_stopped = last_error is not None and last_error.get("type") == CIRCUIT_BREAKER
    return RunReason.CIRCUIT_BREAKER if is_stopped else RunReason.QUARANTINED


def not_run_because(reason: RunReason) -> str:
    """Say what a reason means, and what to do."""
    return _REASONS.get(reason, str(reason))


def not_run(run: Run, timezone: str) -> str:
    """Say why an occurrence was skipped or missed."""
    reason = run.reason
    words = "" if reason is None else _REASONS.get(reason, str(reason))
    if run.message:
        words = f"{words} {_sentence(run.message)}"
    if run.range_end is not None:
        first, last = moment(run.scheduled_for, timezone), moment(run.range_end, timezone)
        size = "several" if run.range_count is None else f"{run.range_count:,}"
        words = f"{words} It is one of {size}, from {first} to {last}."
    return words.strip()


def ran(run: Run, as_of: datetime, timezone: str) -> str:
    """Say how an occurrence that became a run went, or goes."""
    started = run.first_started_at or run.started_at
    if run.state is RunState.QUEUED:
        return _queued(run, as_of, timezone)
    if started is None:
        return f"It was {run.state.lower().replace('_', ' ')} before it started."
    late = _late(started - run.due_at)
    begun = f"It started at {moment(started, timezone)}{late}"
    if run.state is RunState.RUNNING:
        return f"{begun} and is running, attempt {run.attempt} of {run.max_attempts}."
    if run.state is RunState.SUCCEEDED:
        return f"{begun} and succeeded."
    why = "" if run.message is None else f": {_sentence(run.message)}"
    ended = run.state.lower().replace("_", " ")
    return f"{begun} and is {ended} after attempt {run.attempt} of {run.max_attempts}{why or '.'}"


def _queued(run: Run, as_of: datetime, timezone: str) -> str:
    start = moment(run.next_attempt_at, timezone)
    if run.attempt > 0:
        return f"Attempt {run.attempt} of {run.max_attempts} failed; it is tried again at {start}."
    if run.next_attempt_at > as_of:
        return f"It is in the queue {run.queue} and starts at {start}."
    waits = in_words(as_of - run.next_attempt_at)
    if run.blocked_at is not None:
        return (
            f"It has been waiting for {waits}, because another run of its schedule is busy or its "
            "job is at its concurrency limit."
        )
    return (
        f"It has been waiting in the queue {run.queue} for {waits}: no worker has taken it. Look "
        "at the workers and the queue's depth in `scheduler`."
    )


def in_words(duration: timedelta) -> str:
    """Return a duration to the second, in words."""
    return duration_in_words(timedelta(seconds=round(duration.total_seconds())))


def _late(by: timedelta) -> str:
    return "" if by < timedelta(seconds=1) else f", {in_words(by)} late,"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
