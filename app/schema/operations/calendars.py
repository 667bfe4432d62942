"""Queries and mutations about calendars."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.calendars import CalendarInput
from app.schema.types.calendars import Calendar, CalendarPayload
from app.services import calendars as service
from app.store.calendars import read_calendars_of_project


@strawberry.type
class CalendarQueries:
    """Reads."""

    @strawberry.field(description="The project's calendars, by key.")
    async def calendars(self, info: Info) -> list[Calendar]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await read_calendars_of_project(
                connection, info.context.principal.project_id, limit=service.MOST_CALENDARS
            )
        return [Calendar.of(row) for row in rows]


@strawberry.type
class CalendarMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create a calendar, or replace one; whoever follows it fires by the new days."
    )
    async def calendar_put(
        self,
        info: Info,
        input: Annotated[CalendarInput, strawberry.argument(description="The calendar.")],
    ) -> CalendarPayload:
        """Put."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.put_calendar(context.runtime, context.principal, input.read())
            return CalendarPayload(calendar=Calendar.of(accepted.result))
        return CalendarPayload(errors=errors)

    @strawberry.mutation(
        description="Make the days of an iCalendar text those of a calendar; its rules stay."
    )
    async def calendar_import(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which calendar.")],
        ics: Annotated[str, strawberry.argument(description="The text of an .ics file.")],
    ) -> CalendarPayload:
        """Import."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.import_calendar(context.runtime, context.principal, key, ics)
            return CalendarPayload(calendar=Calendar.of(accepted.result))
        return CalendarPayload(errors=errors)

    @strawberry.mutation(description="Delete a calendar that no schedule follows.")
    async def calendar_delete(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which calendar.")],
    ) -> CalendarPayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.remove_calendar(context.runtime, context.principal, key)
            return CalendarPayload(calendar=Calendar.of(accepted.result))
        return CalendarPayload(errors=errors)
