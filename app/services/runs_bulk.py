"""Cancel many runs, or run them again.

They are named by their ids, each of which gets its answer, or by a filter, which picks those for
which the action is possible. Nothing is done when more match than the caller expects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.errors import Invalid, LimitExceeded, TickwheelError
from app.core.run_states import is_final
from app.core.vocabulary import Role, RunBulkAction, RunState
from app.models import Run
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.cancelling import CANCELLABLE, cancel_many, not_cancellable, unknown_run
from app.services.rerunning import check_repeatable, queue_again
from app.services.rules import check_reason
from app.services.writing import Written
from app.store.filters import RunFilter
from app.store.runs import read_newest_ids, read_runs

MOST_AT_ONCE = 1_000
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


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of one: `made` is the new run of a rerun, `error` why nothing was done."""

    id: UUID
    made: UUID | None = None
    error: TickwheelError | None = None


async def change_runs(
    runtime: Runtime, principal: Principal, request: RunsRequest
) -> list[RunResult]:
    """Do it, and say of each run what became of it."""
    principal.require(Role.OPERATOR)
    reason = check_reason(request.reason)
    _check(request)
    ids = await _choose(runtime, principal, request)
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


def _check(request: RunsRequest) -> None:
    if (request.ids is None) == (request.narrowed is None):
        raise Invalid("Give ids or a filter.", path=("ids",))
    if not 1 <= request.max_affected <= MOST_AT_ONCE:
        raise Invalid(f"maxAffected lies between 1 and {MOST_AT_ONCE:,}.", path=("maxAffected",))


async def _choose(runtime: Runtime, principal: Principal, request: RunsRequest) -> Sequence[UUID]:
    if request.ids is not None:
        chosen: Iterable[UUID] = dict.fromkeys(request.ids)
    else:
        assert request.narrowed is not None
        possible = RunFilter(states=_STATES[request.action], all_of=(request.narrowed,))
        async with runtime.database.reading(principal.project_id) as connection:
            chosen = await read_newest_ids(
                connection, principal.project_id, possible, limit=request.max_affected + 1
            )
    ids = list(chosen)
    if len(ids) > request.max_affected:
        raise LimitExceeded(
            f"More than {request.max_affected:,} runs match, and nothing was done: narrow the "
            "filter, or raise maxAffected.",
            path=("maxAffected",),
        )
    return ids


def _judge(action: RunBulkAction, run_id: UUID, run: Run | None) -> RunResult:
    """Return whether the action is possible, as far as can be seen."""
    if run is None:
        return RunResult(run_id, error=unknown_run(run_id))
    if action is RunBulkAction.CANCEL:
        error = None if run.state in CANCELLABLE else not_cancellable(run.state)
        return RunResult(run_id, error=error)
    try:
        check_repeatable(run)
    except TickwheelError as refusal:
        return RunResult(run_id, error=refusal)
    return RunResult(run_id)


async def _cancel(
    runtime: Runtime, principal: Principal, runs: Sequence[Run], reason: str | None
) -> dict[UUID, RunResult]:
    ids = [run.id for run in runs]
    cancelled = await cancel_many(runtime, principal, ids, reason=reason)
    missed = set(ids) - cancelled
    async with runtime.database.reading(principal.project_id) as connection:
        now = await read_runs(connection, principal.project_id, missed)
    return {
        run_id: RunResult(
            run_id, error=not_cancellable(now[run_id].state) if run_id in now else None
        )
        for run_id in ids
    }


async def _rerun(
    runtime: Runtime, principal: Principal, runs: Sequence[Run]
) -> dict[UUID, RunResult]:
    """Queue all that can be queued, in one transaction."""
    results: dict[UUID, RunResult] = {}
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        for original in runs:
            made = new_id()
            try:
                await queue_again(
                    transaction, written, principal, original, made, None, action="runsBulk"
                )
                results[original.id] = RunResult(original.id, made=made)
            except TickwheelError as refusal:
                results[original.id] = RunResult(original.id, error=refusal)
    await runtime.announce(written.changes, ring=bool(written.changes))
    return results
