"""The input of what is done to many schedules."""

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import BulkAction
from app.schema.ids import from_id
from app.schema.inputs.filters import ScheduleFilter
from app.schema.inputs.schedules import ScheduleFieldsInput
from app.services.schedules.bulk import SchedulesRequest


@strawberry.input(
    description="The same for many schedules: those with these ids, or that pass a filter."
)
class ScheduleBulkInput:
    """A bulk action."""

    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="These schedules.")
    filter: ScheduleFilter | None = strawberry.field(
        default=None, description="Those that pass, and for which the action is possible."
    )
    action: BulkAction = strawberry.field(description="What to do.")
    fields: ScheduleFieldsInput | None = strawberry.field(
        default=None, description="With UPDATE: what they are to be."
    )
    max_affected: int = strawberry.field(
        default=100, description="Refuse when more match; at most 1,000."
    )
    dry_run: bool | None = strawberry.field(
        default=False, description="Only say what would be done, and what is wrong with it."
    )
    reason: str | None = strawberry.field(
        default=None, description="Why; kept with the versions and in the audit. PAUSE takes one."
    )

    def read(self) -> SchedulesRequest:
        """Return the service's form."""
        ids = self.ids
        return SchedulesRequest(
            action=self.action,
            ids=None if ids is None else tuple(from_id(Kind.SCHEDULE, id_, "ids") for id_ in ids),
            narrowed=None if self.filter is None else self.filter.read(),
            fields=None if self.fields is None else self.fields.read(),
            max_affected=self.max_affected,
            dry_run=bool(self.dry_run),
            reason=self.reason,
        )
