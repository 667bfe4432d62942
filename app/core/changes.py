"""What one transaction changed: ids and revisions, never state.

The same value is written to the event table in the transaction and published after the commit.
"""

from dataclasses import dataclass
from uuid import UUID

INSTANCE = UUID(int=0)
"""Stands in the place of the project where a change concerns none, but the whole instance."""


@dataclass(frozen=True, slots=True)
class Change:
    """Some entities of one subject that one transaction changed in one way.

    `subject` is one of `services.writing.Subject`; `change` is a ChangeKind for schedules,
    otherwise the kind of write. The arrays run in parallel; `parent_ids` holds the schedule of
    each run or finding.
    """

    project_id: UUID
    subject: str
    change: str
    ids: tuple[UUID, ...]
    revisions: tuple[int, ...]
    parent_ids: tuple[UUID | None, ...] = ()
