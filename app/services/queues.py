"""Pause and limit queues.

A queue is a lane of the whole instance, as workers are: its name means the same in every project,
and only the instance's administrator controls it. The claim judges it: runs of a paused or full
queue are held aside, where they cost other queues nothing, and released when there is room.
"""

from dataclasses import dataclass
from typing import Any

from app.core.errors import Invalid
from app.models import QueueControl
from app.runtime import Runtime
from app.services.absent import ABSENT, Given, is_given
from app.services.access import Principal
from app.services.controlling import INSTANCE
from app.services.rules import check_queue, check_reason
from app.services.status import QueueStatus
from app.services.writing import Subject, Written, field_changes, note_audit, note_change
from app.store.control import lock_queue, update_queue
from app.store.queue import release_held_runs
from app.store.status import read_queues

_HIGHEST_LIMIT = 100_000
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class QueueRequest:
    """What is said about a queue; what is absent stays, a limit that is cleared goes."""

    name: str
    paused: Given[bool] = ABSENT
    limit: Given[int] = ABSENT
    reason: str | None = None


async def control_queue(
    runtime: Runtime, principal: Principal, request: QueueRequest
) -> QueueStatus:
    """Pause a queue, let it go on, or limit how many of its runs are under way at once."""
    principal.require_instance()
    name = _check_name(request.name)
    given = _columns(request)
    reason = check_reason(request.reason)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        queue = await lock_queue(transaction, name)
        changes = field_changes(queue.model_dump(), given)
        if changes or queue.version == 0:
            # Before the row is written: from then on this object tells the new values.
            version, verb = queue.version + 1, _verb(queue, given)
            columns = {**given, "reason": reason, "changed_by": principal.actor}
            await update_queue(transaction, name, columns)
            summary = f"{verb} queue {name}" + (f": {reason}" if reason else ".")
            await note_audit(
                transaction,
                principal,
                "queueControl",
                Subject.QUEUE,
                [(None, summary)],
                changes=changes,
            )
            await note_change(
                transaction, written, principal, Subject.QUEUE, "UPDATED", {INSTANCE: version}
            )
    await _release(runtime, name)
    await runtime.announce(written.changes, ring=True)
    async with runtime.database.reading(None) as connection:
        (row,) = await read_queues(connection, name)
    return QueueStatus(**row)


async def _release(runtime: Runtime, name: str) -> None:
    """Let go what the queue now has room for, a thousand in each transaction."""
    released = _AT_ONCE
    while released >= _AT_ONCE:
        async with runtime.database.transaction() as transaction:
            released = await release_held_runs(transaction, [name])


def _check_name(name: str) -> str:
    try:
        return check_queue(name)
    except Invalid as error:
        error.path = ("name",)
        raise


def _columns(request: QueueRequest) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if is_given(request.paused) and request.paused is not None:
        columns["paused"] = request.paused
    if is_given(request.limit):
        if request.limit is not None and not 1 <= request.limit <= _HIGHEST_LIMIT:
            raise Invalid(
                f"A limit lies between 1 and {_HIGHEST_LIMIT:,}; to let nothing start, pause the "
                "queue.",
                path=("limit",),
            )
        columns["concurrency_limit"] = request.limit
    if not columns:
        raise Invalid("Say whether it is paused, or which limit it has.", path=("paused",))
    return columns


def _verb(before: QueueControl, given: dict[str, Any]) -> str:
    if given.get("paused", before.paused) == before.paused:
        return "Limited"
    return "Paused" if given["paused"] else "Resumed"
