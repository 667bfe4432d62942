"""Notification rules: put and delete. Administrators do: mail leaves in the instance's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import DependencyUnavailable, Invalid, LimitExceeded, NotFound
from app.core.notifying import (
    EmailTarget,
    WebhookTarget,
    check_events,
    check_filter,
    read_target,
)
from app.core.vocabulary import NotificationEvent, Role
from app.handlers.http_config import url_problem
from app.handlers.http_job import network_guard
from app.models import NotificationRule
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.rules import check_key, check_object
from app.services.secret_references import unknown_secret
from app.services.writing import Accepted, Subject, field_changes, note_audit
from app.store import notification_rules as store
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.secrets import share_secrets

MOST_RULES = 100
"""How many rules a project has at most."""


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """What a rule is to be; the key says which one."""

    key: str
    events: Sequence[NotificationEvent]
    target: Any
    filter: Any = None


async def put_rule(
    runtime: Runtime, principal: Principal, request: RuleRequest
) -> Accepted[NotificationRule]:
    """Create the rule of that key, or replace it. It tells of what happens from then on."""
    principal.require(Role.ADMIN)
    columns = _read(runtime, request)
    async with runtime.database.transaction(principal.project_id) as transaction:
        await _check_secret(transaction, principal, columns["target"])
        before = await store.lock_rule(transaction, principal.project_id, request.key)
        if before is None:
            after = await _create(transaction, principal, request.key, columns)
            await _note(transaction, principal, after, "notificationRulePut", "Created")
            return Accepted(after)
        changes = field_changes(before.model_dump(), columns)
        if not changes:
            return Accepted(before)
        after = await store.update_rule(
            transaction, before.id, {**columns, "updated_by": principal.actor}
        )
        await _note(
            transaction, principal, after, "notificationRulePut", "Changed", changes=changes
        )
    return Accepted(after)


async def remove_rule(
    runtime: Runtime, principal: Principal, key: str
) -> Accepted[NotificationRule]:
    """Delete a rule, and with it what it has not told yet."""
    principal.require(Role.ADMIN)
    async with runtime.database.transaction(principal.project_id) as transaction:
        rule = await store.lock_rule(transaction, principal.project_id, key)
        if rule is None:
            raise NotFound(f"There is no rule with the key {key[:200]!r}.", path=("key",))
        await store.delete_rule(transaction, rule.id)
        await _note(transaction, principal, rule, "notificationRuleDelete", "Deleted")
    return Accepted(rule)


def _read(runtime: Runtime, request: RuleRequest) -> dict[str, Any]:
    """Return the columns of a request, or raise everything that is wrong with it."""
    complaints = Complaints()
    columns: dict[str, Any] = {"filter": None}
    with complaints.under():
        check_key(request.key)
    with complaints.under():
        columns["events"] = check_events(request.events)
    with complaints.under():
        columns["target"] = _checked_target(runtime, check_object(request.target, "target"))
    if request.filter is not None:
        with complaints.under():
            columns["filter"] = check_object(request.filter, "filter")
            check_filter(columns["filter"])
    complaints.raise_if_any()
    return columns


def _checked_target(runtime: Runtime, value: dict[str, Any]) -> dict[str, Any]:
    target = read_target(value)
    if isinstance(target, EmailTarget):
        if runtime.mail_server is None:
            raise DependencyUnavailable(
                "E-mail needs a mail server: the instance's operator sets TICKWHEEL_SMTP_HOST.",
                path=("target",),
            )
    elif problem := url_problem(target.url, network_guard(runtime.handler_options)):
        raise Invalid(problem, path=("target", "url"))
    return value


async def _check_secret(
    transaction: Transaction, principal: Principal, value: Mapping[str, Any]
) -> None:
    target = read_target(value)
    if isinstance(target, WebhookTarget) and not await share_secrets(
        transaction, principal.project_id, [target.sign]
    ):
        raise unknown_secret(target.sign, "target", "sign")


async def _create(
    transaction: Transaction, principal: Principal, key: str, columns: Mapping[str, Any]
) -> NotificationRule:
    if await store.count_rules(transaction, principal.project_id) >= MOST_RULES:
        raise LimitExceeded(f"A project has at most {MOST_RULES:,} rules.", path=("key",))
    now = await read_now(transaction)
    rule = NotificationRule(
        **columns,
        id=new_id(),
        project_id=principal.project_id,
        key=key,
        created_at=now,
        updated_at=now,
        created_by=principal.actor,
        updated_by=principal.actor,
        next_message_at=now,
    )
    await store.insert_rule(transaction, rule)
    return rule


async def _note(
    transaction: Transaction,
    principal: Principal,
    rule: NotificationRule,
    action: str,
    what: str,
    *,
    changes: list[dict[str, Any]] | None = None,
) -> None:
    summary = f"{what} notification rule {rule.key}."
    await note_audit(
        transaction, principal, action, Subject.RULE, [(rule.id, summary)], changes=changes or []
    )
