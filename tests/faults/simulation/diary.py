"""What was asked of the schedules of a world, and what follows from it.

A pause counts from when it was confirmed until somebody begins to resume; an edit is in force since
the instant of its version, and what its schedule had planned counts as withdrawn once it was
confirmed. A process that crashes in between has confirmed nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.faults.evidence import every_so_often
from tests.faults.invariants import Withdrawn
from tests.faults.simulation.clock import EPOCH


@dataclass(frozen=True, slots=True)
class Regular:
    """A schedule of every so many seconds; `after` is up to where it was looked at when made."""

    seconds: int
    after: datetime

    def instants(self, phase: timedelta, after: datetime, until: datetime) -> list[datetime]:
        """Return its instants in (after, until], so far from the full second."""
        return every_so_often(self.seconds, anchor=EPOCH + phase, after=after, until=until)


@dataclass(slots=True)
class Edited:
    """An edit that is being written."""

    schedule_id: UUID
    phase: timedelta
    begun_at: datetime
    ended_at: datetime | None = None
    is_confirmed: bool = False

    def confirm(self) -> None:
        """Whoever asked has heard that it is done."""
        self.is_confirmed = True


@dataclass(slots=True)
class Diary:
    """All that was asked of the schedules of one world."""

    regular: dict[UUID, Regular] = field(default_factory=dict)
    _pauses: list[Withdrawn] = field(default_factory=list)
    _edits: list[Edited] = field(default_factory=list)

    def note_pause(self, schedule_id: UUID, at: datetime) -> None:
        """Note that a pause was confirmed."""
        self._pauses.append(Withdrawn(schedule_id, at))

    def note_resume(self, schedule_id: UUID, at: datetime) -> None:
        """Note that somebody begins to resume."""
        self._pauses = [
            replace(pause, until=min(pause.until, at))
            if pause.schedule_id == schedule_id
            else pause
            for pause in self._pauses
        ]

    @contextmanager
    def editing(
        self, schedule_id: UUID, phase: timedelta, clock: Callable[[], datetime]
    ) -> Iterator[Edited]:
        """Note an edit, from when it begins until it has ended in whatever way."""
        self._edits.append(edit := Edited(schedule_id, phase, clock()))
        try:
            yield edit
        finally:
            edit.ended_at = clock()

    def occurrences(
        self, schedule_id: UUID, versions: Sequence[Mapping[str, Any]], until: datetime
    ) -> list[datetime]:
        """Return when a schedule was due, by the versions that its edits have left."""
        regular = self.regular[schedule_id]
        found, phase, after = list[datetime](), timedelta(), regular.after
        for version in versions:
            # An edit may be written after one that began later.
            found += regular.instants(phase, after, max(after, min(version["at"], until)))
            after = max(after, version["at"])
            phase = datetime.fromisoformat(version["anchor"]) - EPOCH
        return found + regular.instants(phase, after, max(after, until))

    def perhaps(self, schedule_id: UUID, until: datetime) -> set[datetime]:
        """Return what may have started while an edit was being written: it was still planned."""
        regular = self.regular[schedule_id]
        return {
            instant
            for edit in self._edits
            if edit.schedule_id == schedule_id
            for phase in (timedelta(), timedelta(seconds=0.5))
            for instant in regular.instants(phase, edit.begun_at, edit.ended_at or until)
        }

    def withdrawn(self, until: datetime) -> list[Withdrawn]:
        """Return what was planned once, and may not start any more."""
        found = list(self._pauses)
        for edit in self._edits:
            if edit.is_confirmed and edit.ended_at is not None:
                later = [
                    other.begun_at
                    for other in self._edits
                    if other.schedule_id == edit.schedule_id and other.begun_at >= edit.ended_at
                ]
                regular = self.regular[edit.schedule_id]
                due = set(regular.instants(edit.phase, edit.ended_at, until))
                end = min(later, default=until)
                found.append(Withdrawn(edit.schedule_id, edit.ended_at, end, due))
        return found
