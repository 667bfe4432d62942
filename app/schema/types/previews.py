"""Previews, forecasts and conflicts."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.errors import TickwheelError
from app.core.time import Lint
from app.core.vocabulary import ConflictKind, Severity
from app.schema.context import Info
from app.schema.errors import UserError, to_user_errors
from app.schema.types.cron import LintWarning
from app.schema.types.timings import Occurrence
from app.services.conflicts import Conflict as Found
from app.services.outlook import Forecast as CountedForecast
from app.services.previews import ChangePreview, Preview
from app.services.previews import ResumePlan as Plan

if TYPE_CHECKING:
    from app.schema.types.schedules import Schedule

_WARNINGS = "What may surprise."
_ERRORS = "What is wrong; then there is nothing to show."
_TRUNCATED = "Whether a bound was reached: there is more than is shown."
_ELAPSED = "How long it took to find out."


@strawberry.type(description="Schedules that get into their own or each other's way.")
class Conflict:
    """A conflict."""

    kind: ConflictKind = strawberry.field(description="In which way.")
    severity: Severity = strawberry.field(description="How much it matters.")
    at: datetime = strawberry.field(description="The first instant of it.")
    message: str = strawberry.field(description="In words, with the numbers involved.")
    suggestion: str | None = strawberry.field(description="What to do about it.")
    found: strawberry.Private[Found]

    @strawberry.field(description="The schedules involved; of many, a few.")
    async def schedules(
        self, info: Info
    ) -> list[Annotated["Schedule", strawberry.lazy("app.schema.types.schedules")]]:
        """Load them."""
        from app.schema.types.schedules import Schedule

        context = info.context
        records = await context.loaders.schedules.load_many(list(self.found.schedule_ids))
        return [Schedule.of(record, context.principal) for record in records if record is not None]

    @classmethod
    def of(cls, found: Found) -> "Conflict":
        """Return the public form."""
        return cls(
            kind=found.kind,
            severity=found.severity,
            at=found.at,
            message=found.message,
            suggestion=found.suggestion,
            found=found,
        )


@strawberry.type(description="What a schedule would do if it were created now.")
class SchedulePreview:
    """A preview."""

    occurrences: list[Occurrence] = strawberry.field(
        description="Its occurrences, also those that will not run, with the reason."
    )
    truncated: bool = strawberry.field(description=_TRUNCATED)
    conflicts: list[Conflict] = strawberry.field(
        description="With itself and with the other schedules of the job, in the next 7 days."
    )
    warnings: list[LintWarning] = strawberry.field(description=_WARNINGS)
    errors: list[UserError] = strawberry.field(description=_ERRORS)

    @classmethod
    def of(cls, preview: Preview) -> "SchedulePreview":
        """Return the public form."""
        return cls(
            occurrences=[Occurrence.of(occurrence) for occurrence in preview.occurrences],
            truncated=preview.truncated,
            conflicts=[Conflict.of(conflict) for conflict in preview.conflicts],
            warnings=_warnings(preview.lints),
            errors=_errors(preview.errors),
        )


@strawberry.type(description="What saving this edit would change.")
class ScheduleChangePreview:
    """A preview of an edit."""

    added: list[Occurrence] = strawberry.field(description="What would run that does not now.")
    removed: list[Occurrence] = strawberry.field(description="What runs now and would not.")
    unchanged: int = strawberry.field(description="How many would stay as they are.")
    next_before: datetime | None = strawberry.field(description="The next instant as it is.")
    next_after: datetime | None = strawberry.field(description="The next instant as it would be.")
    truncated: bool = strawberry.field(description=_TRUNCATED)
    warnings: list[LintWarning] = strawberry.field(description=_WARNINGS)
    errors: list[UserError] = strawberry.field(description=_ERRORS)

    @classmethod
    def of(cls, preview: ChangePreview) -> "ScheduleChangePreview":
        """Return the public form."""
        return cls(
            added=[Occurrence.of(occurrence) for occurrence in preview.added],
            removed=[Occurrence.of(occurrence) for occurrence in preview.removed],
            unchanged=preview.unchanged,
            next_before=preview.next_before,
            next_after=preview.next_after,
            truncated=preview.truncated,
            warnings=_warnings(preview.lints),
            errors=_errors(preview.errors),
        )


@strawberry.type(description="What a resume would do with the occurrences of the pause.")
class ResumePlan:
    """A plan."""

    missed: int = strawberry.field(description="How many occurrences the pause has missed.")
    exact: bool = strawberry.field(description="False when there are more than were counted.")
    from_: datetime | None = strawberry.field(name="from", description="The first one missed.")
    until: datetime | None = strawberry.field(description="The last one missed.")
    would_run: list[Occurrence] = strawberry.field(description="Which ones would run after all.")

    @classmethod
    def of(cls, plan: Plan) -> "ResumePlan":
        """Return the public form."""
        return cls(
            missed=plan.missed,
            exact=plan.exact,
            from_=plan.first_at,
            until=plan.last_at,
            would_run=[Occurrence.of(occurrence) for occurrence in plan.would_run],
        )


@strawberry.type(description="Occurrences over all schedules, the earliest first.")
class UpcomingOccurrences:
    """A bounded list."""

    occurrences: list[Occurrence] = strawberry.field(description="The occurrences.")
    truncated: bool = strawberry.field(description=_TRUNCATED)
    elapsed_seconds: float = strawberry.field(description=_ELAPSED)


@strawberry.type(description="Conflicts among all schedules, the worst first.")
class ConflictReport:
    """A bounded list."""

    conflicts: list[Conflict] = strawberry.field(description="The conflicts.")
    truncated: bool = strawberry.field(description=_TRUNCATED)
    elapsed_seconds: float = strawberry.field(description=_ELAPSED)


@strawberry.type(description="A stretch of time; it includes its beginning and not its end.")
class ForecastBucket:
    """A bucket."""

    at: datetime = strawberry.field(description="Where it begins.")
    occurrences: int = strawberry.field(description="How many are due in it.")
    expected_busy_seconds: float = strawberry.field(
        description="How long their runs will take together, by the median of recent runs."
    )


@strawberry.type(description="How busy it is going to be. The buckets that are there are complete.")
class Forecast:
    """A forecast."""

    buckets: list[ForecastBucket] = strawberry.field(description="Bucket by bucket.")
    truncated: bool = strawberry.field(description=_TRUNCATED)
    elapsed_seconds: float = strawberry.field(description=_ELAPSED)

    @classmethod
    def of(cls, forecast: CountedForecast) -> "Forecast":
        """Return the public form."""
        return cls(
            buckets=[
                ForecastBucket(
                    at=bucket.at,
                    occurrences=bucket.occurrences,
                    expected_busy_seconds=bucket.expected_busy_seconds,
                )
                for bucket in forecast.buckets
            ],
            truncated=forecast.truncated,
            elapsed_seconds=forecast.elapsed_seconds,
        )


def _warnings(lints: Sequence[Lint]) -> list[LintWarning]:
    return [LintWarning(code=lint.code, message=lint.message) for lint in lints]


def _errors(errors: Sequence[TickwheelError]) -> list[UserError]:
    return [public for error in errors for public in to_user_errors(error)]
