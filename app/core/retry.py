"""Whether a failed attempt is tried again, and when.

The delay's jitter is seeded by run and attempt: the same failure always waits as long, whoever
computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from app.core.vocabulary import Backoff, FailureReason

_RETRIED_BY_DEFAULT = (FailureReason.ERROR, FailureReason.TIMEOUT, FailureReason.WORKER_LOST)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, after which failures and with which delays a run is tried again."""

    max_attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_delay: timedelta = timedelta(seconds=10)
    max_delay: timedelta = timedelta(minutes=10)
    multiplier: float = 2.0
    jitter: bool = True
    # Counted from the run's due instant; beyond it no further attempt starts.
    max_age: timedelta | None = None
    retry_on: tuple[FailureReason, ...] = field(default=_RETRIED_BY_DEFAULT)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form; durations in seconds."""
        return {
            "maxAttempts": self.max_attempts,
            "backoff": self.backoff.value,
            "initialDelaySeconds": self.initial_delay.total_seconds(),
            "maxDelaySeconds": self.max_delay.total_seconds(),
            "multiplier": self.multiplier,
            "jitter": self.jitter,
            "maxAgeSeconds": None if self.max_age is None else self.max_age.total_seconds(),
            "retryOn": [reason.value for reason in self.retry_on],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RetryPolicy":
        """Read the stored form; what is missing has its default."""
        default = cls()
        max_age = stored.get("maxAgeSeconds")
        return cls(
            max_attempts=stored.get("maxAttempts", default.max_attempts),
            backoff=Backoff(stored.get("backoff", default.backoff)),
            initial_delay=_seconds(stored, "initialDelaySeconds", default.initial_delay),
            max_delay=_seconds(stored, "maxDelaySeconds", default.max_delay),
            multiplier=stored.get("multiplier", default.multiplier),
            jitter=stored.get("jitter", default.jitter),
            max_age=None if max_age is None else timedelta(seconds=max_age),
            retry_on=tuple(
                FailureReason(reason) for reason in stored.get("retryOn", default.retry_on)
            ),
        )


def next_attempt_delay(
    policy: RetryPolicy,
    *,
    run_id: UUID,
    failed_attempts: int,
    reason: FailureReason,
    due_at: datetime,
    as_of: datetime,
    retry_after: timedelta | None = None,
) -> timedelta | None:
    """Return how long to wait before the next attempt, or None when there is none.

    `failed_attempts` counts the ones used up, this one included. A target's own `retry_after`
    is waited for when it is longer than the policy's delay.
    """
    if failed_attempts >= policy.max_attempts or reason not in policy.retry_on:
        return None
    delay = backoff_delay(policy, run_id=run_id, failed_attempts=failed_attempts)
    if retry_after is not None:
        delay = max(delay, retry_after)
    if policy.max_age is not None and as_of + delay > due_at + policy.max_age:
        return None
    return delay


def may_follow_a_lost_attempt(policy: RetryPolicy, *, due_at: datetime, as_of: datetime) -> bool:
    """Return whether a run is tried again whose worker is gone.

    At once, and without using up an attempt, for it is not the job's fault; but not where the
    policy leaves lost workers out, nor beyond its maximum age.
    """
    if FailureReason.WORKER_LOST not in policy.retry_on:
        return False
    return policy.max_age is None or as_of <= due_at + policy.max_age


def backoff_delay(policy: RetryPolicy, *, run_id: UUID, failed_attempts: int) -> timedelta:
    """Return the policy's delay after so many failed attempts, with its jitter."""
    initial = policy.initial_delay.total_seconds()
    longest = policy.max_delay.total_seconds()
    if policy.backoff is Backoff.FIXED:
        seconds = initial
    elif policy.backoff is Backoff.LINEAR:
        seconds = initial * failed_attempts
    else:
        # 64 doublings exceed every cap; more would overflow a float.
        seconds = initial * policy.multiplier ** min(failed_attempts - 1, 64)
    seconds = min(seconds, longest)
    if policy.jitter:
        seconds *= 0.5 + 0.5 * _fraction(run_id, failed_attempts)
    return timedelta(seconds=seconds)


def _fraction(run_id: UUID, attempt: int) -> float:
    digest = blake2b(run_id.bytes + attempt.to_bytes(4, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _seconds(stored: Mapping[str, Any], name: str, default: timedelta) -> timedelta:
    return timedelta(seconds=stored[name]) if name in stored else default
