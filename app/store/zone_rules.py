"""The version of the zone rules that stored next instants follow."""

from typing import Any

from sqlalchemy import update
from sqlmodel import select

from app.models import ZoneRulesInForce
from app.store.database import ReadConnection, Transaction


async def read_zone_rules(connection: ReadConnection) -> ZoneRulesInForce:
    """Return the version in force."""
    return (await connection.exec(select(ZoneRulesInForce))).one()


async def lock_zone_rules(transaction: Transaction) -> ZoneRulesInForce:
    """Return the version in force and let one worker at a time change it."""
    query = select(ZoneRulesInForce).with_for_update()
    return (await transaction.exec(query.execution_options(populate_existing=True))).one()


async def update_zone_rules(transaction: Transaction, **changes: Any) -> None:
    """Write columns of the row the caller holds."""
    await transaction.execute(
        update(ZoneRulesInForce).values(**changes).execution_options(synchronize_session=False)
    )
