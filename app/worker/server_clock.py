"""PostgreSQL's clock, as far as a worker can know it between two questions.

Each answer says what the clock showed at some moment between question and answer, so it bounds how
far PostgreSQL's clock is ahead of this process's monotonic one. The narrowest bounds of late are
kept; this machine's own wall clock never matters.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_KEPT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Sample:
    at: datetime
    asked_at: float
    answered_at: float

    @property
    def doubt(self) -> float:
        return self.answered_at - self.asked_at

    def clock_at(self, moment: float) -> datetime:
        """Return what the clock shows at a moment: in the middle of what is possible."""
        middle = (self.asked_at + self.answered_at) / 2
        return self.at + timedelta(seconds=moment - middle)


class ServerClock:
    """An estimate of PostgreSQL's clock; moments are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._best: _Sample | None = None

    def note(self, at: datetime, *, asked_at: float, answered_at: float) -> None:
        """Take an answer: the clock showed `at` between two moments."""
        sample, best = _Sample(at, asked_at, answered_at), self._best
        if (
            best is None
            or sample.doubt <= best.doubt
            or answered_at - best.answered_at > _KEPT_SECONDS
            # The clock was set meanwhile.
            or not sample.asked_at <= self._moment_of(at, best) + best.doubt / 2
            or not self._moment_of(at, best) - best.doubt / 2 <= sample.answered_at
        ):
            self._best = sample

    def seconds_until(self, instant: datetime, *, moment: float) -> float | None:
        """Return how long after `moment` it is that instant; None while nothing is known."""
        if self._best is None:
            return None
        return (instant - self._best.clock_at(moment)).total_seconds()

    @staticmethod
    def _moment_of(at: datetime, sample: _Sample) -> float:
        return sample.answered_at + (at - sample.clock_at(sample.answered_at)).total_seconds()
