"""Chains, and the runs that they make."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, or_, update
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, select

from app.models import Chain, Job, Project, Run
from app.store.database import ReadConnection, Transaction
from app.store.firing import as_columns


@dataclass(frozen=True, slots=True)
class ChainedRow:
    """A run that a chain makes, as it is written."""

    id: UUID
    project_id: UUID
    job_id: UUID
    chained_from_id: UUID
    chain_id: UUID
    chain_item: int
    chain_depth: int
    state: str
    reason: str | None
    message: str | None
    scheduled_for: datetime
    parameters: str
    tags: str
    queue: str
    priority: int
    max_attempts: int


@dataclass(frozen=True, slots=True)
class FollowedRun:
    """A run that has ended, a chain that leads on from it, and the job this one starts."""

    run: Run
    job_key: str
    chain: Chain
    target: Job


async def read_chains_of_project(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[Chain]:
    """Return the project's chains, the oldest first."""
    query = select(Chain).where(col(Chain.project_id) == project_id)
    return (await connection.exec(query.order_by(col(Chain.id)).limit(limit))).all()


async def read_chain(connection: ReadConnection, project_id: UUID, id_: UUID) -> Chain | None:
    """Return one chain of the project."""
    query = select(Chain).where(col(Chain.project_id) == project_id, col(Chain.id) == id_)
    return (await connection.exec(query)).first()


async def read_chains_of_jobs(
    connection: ReadConnection, project_id: UUID, job_ids: Iterable[UUID]
) -> dict[UUID, list[Chain]]:
    """Return the chains that lead on from jobs, by job, the oldest first."""
    chains: dict[UUID, list[Chain]] = {job_id: [] for job_id in job_ids}
    query = select(Chain).where(
        col(Chain.project_id) == project_id, col(Chain.job_id).in_(set(chains))
    )
    for chain in (await connection.exec(query.order_by(col(Chain.id)))).all():
        chains[chain.job_id].append(chain)
    return chains


async def hold_chains(transaction: Transaction, project_id: UUID) -> list[tuple[UUID, UUID]]:
    """Let nobody else change the project's chains, and return which jobs they lead from and to."""
    held = select(Project.id).where(col(Project.id) == project_id).with_for_update(key_share=True)
    await transaction.exec(held)
    query = select(Chain.job_id, Chain.target_id).where(col(Chain.project_id) == project_id)
    return [(job_id, target_id) for job_id, target_id in (await transaction.exec(query)).all()]


async def read_chain_between(
    connection: ReadConnection, job_id: UUID, target_id: UUID
) -> Chain | None:
    """Return the chain that leads from one job to another."""
    query = select(Chain).where(col(Chain.job_id) == job_id, col(Chain.target_id) == target_id)
    return (await connection.exec(query)).first()


async def insert_chain(transaction: Transaction, chain: Chain) -> None:
    """Write a new chain; the caller holds the project's."""
    transaction.add(chain)
    await transaction.flush()


async def update_chain(
    transaction: Transaction, chain_id: UUID, changes: Mapping[str, Any]
) -> Chain:
    """Write columns of a chain; the caller holds the project's."""
    result = await transaction.execute(
        update(Chain)
        .where(col(Chain.id) == chain_id)
        .values(**changes, updated_at=func.now())
        .returning(Chain)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def delete_chain(transaction: Transaction, chain_id: UUID) -> None:
    """Remove a chain; the caller holds the project's."""
    await transaction.exec(delete(Chain).where(col(Chain.id) == chain_id))


async def read_chained_job_keys(
    connection: ReadConnection, job_id: UUID, *, limit: int
) -> Sequence[str]:
    """Return keys of jobs that a chain leads to from this one, or from which one leads here."""
    query = (
        select(Job.key)
        .join(
            Chain,
            or_(
                (col(Chain.job_id) == job_id) & (col(Chain.target_id) == col(Job.id)),
                (col(Chain.target_id) == job_id) & (col(Chain.job_id) == col(Job.id)),
            ),
        )
        .order_by(col(Job.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_followed_runs(
    transaction: Transaction, run_ids: Sequence[UUID]
) -> list[FollowedRun]:
    """Return the runs from whose jobs chains lead on, as this transaction has left them."""
    target = aliased(Job)
    query = (
        select(Run, Job.key, Chain, target)
        .join(Job, col(Job.id) == col(Run.job_id))
        .join(Chain, col(Chain.job_id) == col(Run.job_id))
        .join(target, col(target.id) == col(Chain.target_id))
        .where(col(Run.id).in_(run_ids))
        .order_by(col(Run.id), col(Chain.id))
        .execution_options(populate_existing=True)
    )
    return [FollowedRun(*row) for row in (await transaction.exec(query)).all()]


async def insert_chained_runs(
    transaction: Transaction, rows: Sequence[ChainedRow]
) -> Sequence[RowMapping]:
    """Write the runs that chains make; return those that were not there."""
    if not rows:
        return []
    result = await transaction.run_file("insert_chained_runs", as_columns(rows, ChainedRow))
    return result.mappings().all()
