"""Cancel many runs, or run them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.errors import TickwheelError
from app.core.run_states import is_final
from app.core.vocabulary import Role, RunBulkAction, RunState
from app.models import Run
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.bulk import ItemResult, check_choice, choose
from app.services.cancelling import CANCELLABLE, cancel_many, not_cancellable, unknown_run
from app.services.rerunning import check_repeatable, queue_again
from app.services.rules import check_reason
from app.services.writing import Written
from app.store.filters import RunFilter
from app.store.runs import read_newest_ids, read_runs

_STATES = {
    RunBulkAction.CANCEL: CANCELLABLE,
    RunBulkAction.RERUN: tuple(state for state in RunState if is_final(state)),
}


@dataclass(frozen=True, slots=True)
class RunsRequest:
    """Which runs, and what to do."""

    action: RunBulkAction
    ids: tuple[UUID, ...] | None = None
    narrowed: RunFilter | None = None
    max_affected: int = 100
    dry_run: bool = False
    reason: str | None = None


async def change_runs(
    runtime: Runtime, principal: Principal, request: RunsRequest
) -> list[ItemResult]:
    """Do it, and say of each run what became of it."""
    principal.require(Role.OPERATOR)
    reason = check_reason(request.reason)
    check_choice(request.ids, request.narrowed, request.max_affected)
    ids = await choose(
        request.ids,
        lambda limit: _find(runtime, principal, request, limit),
        max_affected=request.max_affected,
        what="runs",
    )
    async with runtime.database.reading(principal.project_id) as connection:
        runs = await read_runs(connection, principal.project_id, ids)
    results = {run_id: _judge(request.action, run_id, runs.get(run_id)) for run_id in ids}
    fit = [runs[run_id] for run_id in ids if results[run_id].error is None]
    if request.dry_run:
        return [results[run_id] for run_id in ids]
    if request.action is RunBulkAction.CANCEL:
        results |= await _cancel(runtime, principal, fit, reason)
    else:
        results |= await _rerun(runtime, principal, fit)
    return [results[run_id] for run_id in ids]


async def _find(
    runtime: Runtime, principal: Principal, request: RunsRequest, limit: int
) -> Sequence[UUID]:
    assert request.narrowed is not None
    possible = RunFilter(states=_STATES[request.action], all_of=(request.narrowed,))
    async with runtime.database.reading(principal.project_id) as connection:
        return await read_newest_ids(connection, principal.project_id, possible, limit=limit)


def _judge(action: RunBulkAction, run_id: UUID, run: Run | None) -> ItemResult:
    """Return whether the action is possible, as far as can be seen."""
    if run is None:
        return ItemResult(run_id, error=unknown_run(run_id))
    if action is RunBulkAction.CANCEL:
        error = None if run.state in CANCELLABLE else not_cancellable(run.state)
        return ItemResult(run_id, error=error)
    try:
        check_repeatable(run)
    except TickwheelError as refusal:
        return ItemResult(run_id, error=refusal)
    return ItemResult(run_id)


async def _cancel(
    runtime: Runtime, principal: Principal, runs: Sequence[Run], reason: str | None
) -> dict[UUID, ItemResult]:
    ids = [run.id for run in runs]
    cancelled = await cancel_many(runtime, principal, ids, reason=reason)
    missed = set(ids) - cancelled
    async with runtime.database.reading(principal.project_id) as connection:
        now = await read_runs(connection, principal.project_id, missed)
    return {
        run_id: ItemResult(
            run_id, error=not_cancellable(now[run_id].state) if run_id in now else None
        )
        for run_id in ids
    }


async def _rerun(
    runtime: Runtime, principal: Principal, runs: Sequence[Run]
) -> dict[UUID, ItemResult]:
    """Queue all that can be queued, in one transaction."""
    results: dict[UUID, ItemResult] = {}
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        for original in runs:
            made = new_id()
            try:
                await queue_again(
                    transaction, written, principal, original, made, None, action="runsBulk"
                )
                results[original.id] = ItemResult(original.id, made=made)
            except TickwheelError as refusal:
                results[original.id] = ItemResult(original.id, error=refusal)
    await runtime.announce(written.changes, ring=bool(written.changes))
    return results
