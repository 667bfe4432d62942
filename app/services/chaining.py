"""Start what follows by chains, in the transaction that writes the ends of runs.

Neither is ever there without the other: a process that dies in between has ended nothing and
started nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from app.core.chaining import CannotFollow, ChainedRun, plan_chain
from app.core.changes import Change
from app.core.errors import Invalid
from app.core.ids import Kind, public_id
from app.core.retry import RetryPolicy
from app.core.vocabulary import RunState
from app.handlers.chain_parameters import fill_mapping, list_in
from app.models.columns import new_id
from app.services.claiming import run_changes
from app.services.rules import check_object
from app.store.chains import ChainedRow, FollowedRun, insert_chained_runs, read_followed_runs
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.firing import to_json


async def start_chained(transaction: Transaction, ended_ids: Sequence[UUID]) -> list[Change]:
    """Write the runs that follow those which this transaction has ended, and their events.

    Return what to announce; a run of any of those jobs may be due then.
    """
    if not ended_ids:
        return []
    followed = await read_followed_runs(transaction, ended_ids)
    rows = [_row(one, planned) for one in followed for planned in _plan(one)]
    written = await insert_chained_runs(transaction, rows)
    changes = [
        *run_changes((row for row in written if row["state"] == RunState.QUEUED), "CREATED"),
        *run_changes((row for row in written if row["state"] != RunState.QUEUED), "SKIPPED"),
    ]
    await record_changes(transaction, changes)
    return changes


def _plan(followed: FollowedRun) -> list[ChainedRun]:
    run, chain = followed.run, followed.chain
    return plan_chain(
        chain.after,
        run.state,
        depth=run.chain_depth or 0,
        items=partial(_items, run.result, chain.fan_out),
        limit=chain.fan_out_limit or 1,
        parameters=partial(_parameters, followed),
    )


def _items(result: Any, fan_out: str | None) -> list[Any]:
    return [None] if fan_out is None else list_in(result, fan_out)


def _parameters(followed: FollowedRun, item: Any) -> dict[str, Any]:
    """Return the parameters of a following run over its job's. Raises CannotFollow."""
    run, chain = followed.run, followed.chain
    values = {
        "result": run.result,
        "parameters": run.parameters,
        "item": item,
        "run": {
            "id": public_id(Kind.RUN, run.id),
            "job": followed.job_key,
            "state": run.state.value,
            "reason": None if run.reason is None else run.reason.value,
            "message": run.message,
            "attempt": run.attempt,
            "scheduledFor": run.scheduled_for.isoformat(),
        },
    }
    filled = fill_mapping(chain.parameters, values, fans_out=chain.fan_out is not None)
    try:
        return check_object({**followed.target.parameters, **filled}, "parameters")
    except Invalid as error:
        raise CannotFollow(error.message) from None


def _row(followed: FollowedRun, planned: ChainedRun) -> ChainedRow:
    run, target = followed.run, followed.target
    return ChainedRow(
        id=new_id(),
        project_id=run.project_id,
        job_id=target.id,
        chained_from_id=run.id,
        chain_id=followed.chain.id,
        chain_item=planned.item,
        chain_depth=(run.chain_depth or 0) + 1,
        state=planned.state.value,
        reason=None if planned.reason is None else planned.reason.value,
        message=planned.message,
        scheduled_for=run.scheduled_for,
        parameters=to_json(planned.parameters),
        tags=to_json(target.tags),
        queue=target.queue,
        priority=target.priority,
        max_attempts=RetryPolicy.from_json(target.retry).max_attempts,
    )
