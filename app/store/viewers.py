"""What callers have chosen for themselves."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from app.core.vocabulary import ActorKind
from app.models import ViewerPreference
from app.models.columns import ActorRecord
from app.store.database import ReadConnection, Transaction


async def read_timezone(connection: ReadConnection, actor: ActorRecord) -> str | None:
    """Return the zone that a caller wants instants shown in, if it has said so."""
    kind, id_ = _who(actor)
    query = select(ViewerPreference.timezone).where(
        col(ViewerPreference.actor_kind) == kind, col(ViewerPreference.actor_id) == id_
    )
    return (await connection.exec(query)).first()


async def write_timezone(transaction: Transaction, actor: ActorRecord, timezone: str) -> None:
    """Remember the zone of a caller."""
    kind, id_ = _who(actor)
    statement = insert(ViewerPreference).values(actor_kind=kind, actor_id=id_, timezone=timezone)
    await transaction.execute(
        statement.on_conflict_do_update(
            index_elements=["actor_kind", "actor_id"], set_={"timezone": timezone}
        )
    )


def _who(actor: ActorRecord) -> tuple[ActorKind, str]:
    """Return what names a caller; the administrator of the settings has a name only."""
    return ActorKind(actor["kind"]), actor["id"] or actor["name"]
