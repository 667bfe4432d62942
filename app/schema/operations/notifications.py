"""Queries and mutations about notification rules."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.notifications import NotificationRuleInput
from app.schema.types.notifications import NotificationRule, NotificationRulePayload
from app.services.notifications import rules as service
from app.store.notification_rules import read_rules


@strawberry.type
class NotificationQueries:
    """Reads."""

    @strawberry.field(description="The project's notification rules, by key.")
    async def notification_rules(self, info: Info) -> list[NotificationRule]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await read_rules(
                connection, info.context.principal.project_id, limit=service.MOST_RULES
            )
        return [NotificationRule.of(row) for row in rows]


@strawberry.type
class NotificationMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create a notification rule, or replace one; it tells of what happens later."
    )
    async def notification_rule_put(
        self,
        info: Info,
        input: Annotated[NotificationRuleInput, strawberry.argument(description="The rule.")],
    ) -> NotificationRulePayload:
        """Put."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            accepted = await service.put_rule(context.runtime, context.principal, input.read())
            return NotificationRulePayload(rule=NotificationRule.of(accepted.result))
        return NotificationRulePayload(errors=errors)

    @strawberry.mutation(description="Delete a notification rule, and what it has not told yet.")
    async def notification_rule_delete(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which rule.")],
    ) -> NotificationRulePayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            accepted = await service.remove_rule(context.runtime, context.principal, key)
            return NotificationRulePayload(rule=NotificationRule.of(accepted.result))
        return NotificationRulePayload(errors=errors)
