"""What all bulk operations have in common: how the many are named, and how many they may be.

They are named by their ids, each of which gets its answer, or by a filter, which picks those for
which the action is possible. Nothing is done when more match than the caller expects.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.errors import Invalid, LimitExceeded, TickwheelError

MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one: `made` is what the action made of it, `error` why nothing was done."""

    id: UUID
    made: UUID | None = None
    error: TickwheelError | None = None


def check_choice(ids: Sequence[UUID] | None, narrowed: object | None, max_affected: int) -> None:
    """Refuse a request that names its things in no way or in two, or too many of them."""
    if (ids is None) == (narrowed is None):
        raise Invalid("Give ids or a filter.", path=("ids",))
    if not 1 <= max_affected <= MOST_AT_ONCE:
        raise Invalid(f"maxAffected lies between 1 and {MOST_AT_ONCE:,}.", path=("maxAffected",))


async def choose(
    ids: Sequence[UUID] | None,
    find: Callable[[int], Awaitable[Sequence[UUID]]],
    *,
    max_affected: int,
    what: str,
) -> list[UUID]:
    """Return the ids that are meant, each once; `find` reads up to so many that pass the filter."""
    chosen = list(dict.fromkeys(ids)) if ids is not None else await find(max_affected + 1)
    if len(chosen) > max_affected:
        raise LimitExceeded(
            f"More than {max_affected:,} {what} match, and nothing was done: narrow the filter, "
            "or raise maxAffected.",
            path=("maxAffected",),
        )
    return list(chosen)
