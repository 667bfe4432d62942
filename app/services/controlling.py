"""Start, pause, stop and restart the whole instance, and stop everything in an emergency.

The state is one row. Whoever changes it waits for the ticks and claims under way, so that from the
commit on nothing fires, or nothing starts, that must not. What ticks have prepared for instants to
come is withdrawn; the instants of the halt are accounted for by the ticks after the start.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy import RowMapping

from app.core.changes import Change
from app.core.errors import Invalid
from app.core.vocabulary import ResumeChoice, SchedulerAction, SchedulerState, WorkerRequest
from app.models import SchedulerControl
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.services.access import Principal
from app.services.cancelling import cancel_for_emergency, cancel_message
from app.services.rules import check_reason
from app.services.writing import Subject, note_audit
from app.store.backfills import cancel_all_backfills
from app.store.control import (
    begin_halt,
    end_halt,
    hold_control,
    settle_drain,
    withdraw_all_prepared_runs,
    write_control,
)
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.instants import read_now
from app.store.workers import ask_workers

CONFIRMATION = "stop everything"
INSTANCE = UUID(int=1)
"""Stands for the instance in events, which name something by its id."""

_LONGEST_DRAIN = timedelta(days=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """What is to be done. `missed`: what becomes of the instants of a halt that a start ends."""

    action: SchedulerAction
    reason: str
    drain_timeout: timedelta | None = None
    confirm: str | None = None
    missed: ResumeChoice | None = None


async def control_scheduler(
    runtime: Runtime, principal: Principal, request: ControlRequest
) -> None:
    """Change the state of the instance."""
    principal.require_instance()
    reason = _check(request)
    async with runtime.database.transaction(principal.project_id) as transaction:
        present = await hold_control(transaction)
        # Writing the row makes this object tell the new values.
        before, version = present.state, present.version
        change = _Change(transaction, present, principal.actor, reason, await read_now(transaction))
        await change.apply(request)
        summary = f"{_DONE[request.action]}, which was {before}: {reason}"
        await note_audit(
            transaction, principal, "schedulerControl", Subject.SCHEDULER, [(None, summary)]
        )
        changes = [*change.changes, _told(principal, request.action, version + 1)]
        await record_changes(transaction, changes)
    _log.warning("scheduler.controlled", action=request.action.value, reason=reason)
    await runtime.worker_channel.hint()
    if request.action is SchedulerAction.EMERGENCY_STOP:
        await cancel_for_emergency(runtime)
    await runtime.announce(changes, ring=True)


async def settle_control(runtime: Runtime) -> None:
    """Do what is left of a stop: the sweep of any worker calls this."""
    async with runtime.database.transaction() as transaction:
        stopped = await settle_drain(transaction)
    if stopped:
        _log.info("scheduler.drained")
        await runtime.worker_channel.hint()
    await cancel_for_emergency(runtime)


class _Change:
    """One change of the state, in the transaction that holds it."""

    def __init__(
        self,
        transaction: Transaction,
        before: SchedulerControl,
        actor: ActorRecord,
        reason: str,
        as_of: datetime,
    ) -> None:
        self._transaction = transaction
        self._was_emergency = before.is_emergency
        self._is_running = before.state is SchedulerState.RUNNING
        self._actor = actor
        self._reason = reason
        self._as_of = as_of
        self.changes: list[Change] = []

    async def apply(self, request: ControlRequest) -> None:
        """Do what is asked."""
        match request.action:
            case SchedulerAction.START:
                await self._start(request.missed)
            case SchedulerAction.PAUSE:
                await self._halt(SchedulerState.PAUSED, SchedulerState.PAUSED)
            case SchedulerAction.STOP:
                wait = request.drain_timeout
                until = None if wait is None else self._as_of + wait
                await self._halt(SchedulerState.DRAINING, SchedulerState.STOPPED, drain_until=until)
                await settle_drain(self._transaction)
            case SchedulerAction.EMERGENCY_STOP:
                await self._halt(SchedulerState.STOPPED, SchedulerState.STOPPED, is_emergency=True)
                message = cancel_message(self._actor["name"], f"emergency stop: {self._reason}")
                await cancel_all_backfills(self._transaction, message)
            case SchedulerAction.RESTART:
                await self._start(request.missed)
                wait = request.drain_timeout
                await ask_workers(
                    self._transaction,
                    None,
                    WorkerRequest.RESTART,
                    drain_seconds=None if wait is None else wait.total_seconds(),
                )

    async def _start(self, missed: ResumeChoice | None) -> None:
        if missed is None and self._was_emergency:
            missed = ResumeChoice.SKIP
        await end_halt(self._transaction, self._as_of, missed)
        await write_control(
            self._transaction,
            state=SchedulerState.RUNNING,
            reason=self._reason,
            actor=self._actor,
        )

    async def _halt(
        self,
        state: SchedulerState,
        kind: Literal[SchedulerState.PAUSED, SchedulerState.STOPPED],
        *,
        drain_until: datetime | None = None,
        is_emergency: bool = False,
    ) -> None:
        if self._is_running:
            self.changes += _withdrawn(await withdraw_all_prepared_runs(self._transaction))
        await begin_halt(self._transaction, kind, self._as_of)
        await write_control(
            self._transaction,
            state=state,
            reason=self._reason,
            actor=self._actor,
            drain_until=drain_until,
            # A stop after an emergency stop takes nothing back.
            is_emergency=is_emergency or (self._was_emergency and kind is SchedulerState.STOPPED),
        )


_DONE = {
    SchedulerAction.START: "Started the instance",
    SchedulerAction.PAUSE: "Paused the instance",
    SchedulerAction.STOP: "Stopped the instance",
    SchedulerAction.RESTART: "Restarted the instance",
    SchedulerAction.EMERGENCY_STOP: "Stopped everything",
}


def _check(request: ControlRequest) -> str:
    """Return the reason of a request that makes sense."""
    reason = check_reason(request.reason)
    if reason is None:
        raise Invalid("Say why.", path=("reason",))
    is_emergency = request.action is SchedulerAction.EMERGENCY_STOP
    if is_emergency and request.confirm != CONFIRMATION:
        raise Invalid(
            "This cancels everything that runs or is due. To do it, confirm with "
            f'"{CONFIRMATION}".',
            path=("confirm",),
        )
    wait = request.drain_timeout
    if wait is not None and not timedelta(0) <= wait <= _LONGEST_DRAIN:
        raise Invalid("A drain lasts at most 1 day.", path=("drainTimeout",))
    if request.missed is ResumeChoice.DRIP:
        raise Invalid(
            "A drip needs a rate, which each schedule has of its own: start with SKIP, LATEST or "
            "ALL.",
            path=("missed",),
        )
    return reason


def _withdrawn(rows: Sequence[RowMapping]) -> list[Change]:
    """Return what to announce of withdrawn runs and the schedules whose cursors went back."""
    runs = _by_project([row for row in rows if row["subject"] == "RUN"], "RUN", "WITHDRAWN")
    schedules = _by_project(
        [row for row in rows if row["subject"] == "SCHEDULE"], "SCHEDULE", "UPDATED"
    )
    return [*runs, *schedules]


def _by_project(rows: Sequence[RowMapping], subject: str, change: str) -> list[Change]:
    grouped: defaultdict[UUID, list[RowMapping]] = defaultdict(list)
    for row in rows:
        grouped[row["project_id"]].append(row)
    return [
        Change(
            project_id,
            subject,
            change,
            ids=tuple(row["id"] for row in members),
            revisions=tuple(row["revision"] for row in members),
            parent_ids=tuple(row["schedule_id"] for row in members) if subject == "RUN" else (),
        )
        for project_id, members in grouped.items()
    ]


def _told(principal: Principal, action: SchedulerAction, version: int) -> Change:
    return Change(
        principal.project_id, Subject.SCHEDULER.value, action.value, (INSTANCE,), (version,)
    )
