"""What a cron expression means."""

from datetime import timedelta

import strawberry

from app.core.errors import Invalid
from app.core.vocabulary import LintCode
from app.schema.errors import ValidationError
from app.schema.types.timings import Occurrence
from app.services.explaining import Explained


@strawberry.type(description="A field of a cron expression.")
class CronField:
    """A field."""

    name: str = strawberry.field(description="Such as minute.")
    source: str = strawberry.field(description="As written.")
    values: list[int] = strawberry.field(description="What it stands for.")
    description: str = strawberry.field(description="In words.")


@strawberry.type(description="A ready-made expression.")
class CronPreset:
    """A preset."""

    name: str = strawberry.field(description="What it says, in words.")
    expression: str = strawberry.field(description="The expression.")


@strawberry.type(description="Legal, but it may surprise.")
class LintWarning:
    """A warning."""

    code: LintCode = strawberry.field(description="Which warning.")
    message: str = strawberry.field(description="In words, with the values involved.")


@strawberry.type(description="What a cron expression means, and when it is due.")
class CronExplanation:
    """An explanation."""

    valid: bool = strawberry.field(description="Whether it is an expression at all.")
    normalized: str | None = strawberry.field(description="In its plainest form.")
    summary: str | None = strawberry.field(description="In words.")
    fields: list[CronField] = strawberry.field(description="Field by field.")
    warnings: list[LintWarning] = strawberry.field(description="What may surprise.")
    errors: list[ValidationError] = strawberry.field(description="What is wrong.")
    next: list[Occurrence] = strawberry.field(description="The next instants.")
    min_interval: timedelta | None = strawberry.field(description="The shortest time between two.")
    average_interval: timedelta | None = strawberry.field(
        description="The time between two, on average."
    )

    @classmethod
    def of(cls, explained: Explained) -> "CronExplanation":
        """Return the public form."""
        meaning = explained.meaning
        return cls(
            valid=meaning is not None and not explained.errors,
            normalized=None if meaning is None else meaning.normalized,
            summary=None if meaning is None else meaning.summary,
            fields=[
                CronField(
                    name=field.name,
                    source=field.source,
                    values=list(field.values),
                    description=field.description,
                )
                for field in (meaning.fields if meaning else ())
            ],
            warnings=[
                LintWarning(code=lint.code, message=lint.message)
                for lint in (meaning.lints if meaning else ())
            ],
            errors=[_validation_error(error) for error in explained.errors],
            next=[Occurrence.of(occurrence) for occurrence in explained.upcoming],
            min_interval=None if meaning is None else meaning.shortest_interval,
            average_interval=None if meaning is None else meaning.average_interval,
        )


def _validation_error(error: Invalid) -> ValidationError:
    return ValidationError(
        code=error.code,
        message=error.message,
        path=list(error.path) or None,
        hint=error.hint,
        column=error.column,
    )
