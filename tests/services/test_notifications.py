"""What rules tell, to real receivers: once for each occurrence, and never nothing.

Breaks that were tried, and which test failed: recovery told of every success (the recovery); no
pause between two messages (the storm); a claim without a lease (the process that died); findings
that changed left out (the severity); a watchdog that wakes nobody (no worker).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from app.core.health import Observation
from app.core.vocabulary import FindingCode, RunCause, Severity
from app.handlers.execution import SUCCEEDED, Outcome
from app.handlers.webhook import WebhookSender
from app.models import NotificationRule, Secret
from app.models.columns import new_id
from app.services.health.findings import settle_findings
from app.services.health.watchdog import Watchdog
from app.services.notifications.delivering import MOST_ATTEMPTS, Patience, deliver
from app.services.notifications.gathering import gather
from app.services.notifications.notifier import Notifier
from app.services.pausing import pause_failing_schedules
from app.store.findings import read_open_findings
from tests.engine import FAILED, Crash, Engine, ended, open_engine
from tests.services.sinks import Hook, Mailbox, a_hook, a_mail_server

SECRET = "correct-horse-battery-staple"
KEYS = "test:" + "A" * 43 + "="
AT_ONCE = Patience(lease_seconds=60, first_retry_seconds=0)


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with a_mail_server() as mailbox:
        yield mailbox


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str, mailbox: Mailbox) -> AsyncIterator[Engine]:
    async with open_engine(
        database_url,
        redis_url,
        secret_keys=KEYS,
        http_allow_networks=("127.0.0.0/8",),
        smtp_host="127.0.0.1",
        smtp_port=mailbox.port,
        smtp_tls="none",
        smtp_from="tickwheel@example.org",
    ) as engine:
        now = await engine.now()
        sealed = engine.runtime.keyring.seal(SECRET, belongs_to=f"secret/{engine.project_id}/hook")
        await engine.add(
            Secret(
                project_id=engine.project_id,
                key="hook",
                created_at=now,
                updated_at=now,
                key_id=sealed.key_id,
                sealed=sealed.content,
            )
        )
        yield engine


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Hook]:
    async with a_hook(SECRET) as hook:
        yield hook


@pytest_asyncio.fixture
async def sender(engine: Engine) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender.open(engine.runtime.handler_options)
    yield sender
    await sender.close()


async def rule(
    engine: Engine,
    url: str,
    *events: str,
    target: dict[str, Any] | None = None,
    filter: dict[str, Any] | None = None,
) -> None:
    now = await engine.now()
    await engine.add(
        NotificationRule(
            project_id=engine.project_id,
            key=f"rule-{new_id().hex}",
            created_at=now,
            updated_at=now,
            events=list(events),
            target=target or {"type": "webhook", "url": url, "sign": "hook"},
            filter=filter,
            next_message_at=now,
        )
    )


async def run_ends(engine: Engine, schedule_id: Any, job_id: Any, outcome: Outcome) -> None:
    run_id = await engine.run(job_id, schedule_id, cause=RunCause.MANUAL)
    (run,) = (await engine.claim()).runs
    assert run.execution.run_id == run_id
    assert await engine.finish(ended(run, outcome)) == 1


async def tell(engine: Engine, sender: WebhookSender) -> int:
    """Gather and deliver once, without the pause between two messages."""
    await gather(engine.runtime, pause_seconds=0)
    return await deliver(engine.runtime, sender, AT_ONCE)


async def messages(engine: Engine) -> list[dict[str, Any]]:
    return await engine.rows(
        "SELECT state, attempts, error FROM notification_message ORDER BY created_at"
    )


async def test_failure_and_the_recovery_after_it_are_told_once_each(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    await rule(engine, hook.url, "RUN_FAILED", "RUN_RECOVERED")
    for outcome in (SUCCEEDED, FAILED, SUCCEEDED, SUCCEEDED):
        await run_ends(engine, schedule_id, job_id, outcome)
        await tell(engine, sender)
    assert [received.events for received in hook.received] == [["RUN_FAILED"], ["RUN_RECOVERED"]]
    (told,) = hook.received[0].body["data"]["notifications"]
    assert told["run"]["state"] == "FAILED"
    assert told["message"] == "It failed on purpose."
    assert told["schedule"]["key"] == str(schedule_id)
    assert await tell(engine, sender) == 0


async def test_events_read_twice_are_told_once(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    before = await engine.row("SELECT position FROM notification_feed")
    await rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, job_id, FAILED)
    await tell(engine, sender)
    await engine.rows("UPDATE notification_feed SET position = :position", **before)
    await tell(engine, sender)
    assert len(hook.received) == 1


async def test_storm_is_told_at_once_and_then_in_one_message(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    await rule(engine, hook.url, "RUN_FAILED")
    for _ in range(5):
        await run_ends(engine, None, job_id, FAILED)
        await gather(engine.runtime)
        await deliver(engine.runtime, sender, AT_ONCE)
    assert [len(received.events) for received in hook.received] == [1]
    await engine.rows("UPDATE notification_rule SET next_message_at = now()")
    await tell(engine, sender)
    assert [len(received.events) for received in hook.received] == [1, 4]


async def test_target_that_was_down_is_told_later_under_the_same_id(
    engine: Engine, sender: WebhookSender
) -> None:
    async with a_hook(SECRET) as hook:
        port = hook.port
        await rule(engine, hook.url, "RUN_FAILED")
        hook.status = 500
        await run_ends(engine, None, await engine.job(), FAILED)
        await tell(engine, sender)
        first_id = hook.received[0].id
    assert await tell(engine, sender) == 1
    (row,) = await messages(engine)
    assert (row["state"], row["attempts"]) == ("WAITING", 2)
    said = await engine.row("SELECT last_error FROM notification_rule")
    assert "Cannot connect" in said["last_error"]
    async with a_hook(SECRET, port=port) as hook:
        assert await tell(engine, sender) == 1
        assert [received.id for received in hook.received] == [first_id]
    (row,) = await messages(engine)
    assert row["state"] == "DELIVERED"
    said = await engine.row("SELECT last_error FROM notification_rule")
    assert said == {"last_error": None}


async def test_what_cannot_be_delivered_is_given_up_visibly(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    hook.status = 302
    await rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, await engine.job(), FAILED)
    for _ in range(MOST_ATTEMPTS + 2):
        await tell(engine, sender)
    (row,) = await messages(engine)
    assert (row["state"], row["attempts"]) == ("GIVEN_UP", MOST_ATTEMPTS)
    assert row["error"] == "WebhookRefused: The receiver answered 302."


async def test_crash_at_any_statement_loses_nothing(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    """A lease of no time stands for the wait until it has lapsed."""
    await rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, await engine.job(), FAILED)
    patience = Patience(lease_seconds=0, first_retry_seconds=0)
    crashes = 0
    for statement in range(1, 30):
        try:
            async with engine.crashing_at(statement):
                await gather(engine.runtime)
                await deliver(engine.runtime, sender, patience)
                break
        except (Crash, BaseExceptionGroup):
            crashes += 1
    assert crashes > 5
    (row,) = await messages(engine)
    assert row["state"] == "DELIVERED"
    assert len({received.id for received in hook.received}) == 1


async def test_message_of_a_process_that_died_while_sending_is_sent_by_another(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    await rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, await engine.job(), FAILED)
    await gather(engine.runtime)
    # It claimed, and was not heard of again.
    await engine.rows(
        "UPDATE notification_message SET attempts = 1,"
        " next_attempt_at = now() + interval '1 minute'"
    )
    assert await deliver(engine.runtime, sender, AT_ONCE) == 0
    await engine.rows("UPDATE notification_message SET next_attempt_at = now()")
    both = await asyncio.gather(*(deliver(engine.runtime, sender, AT_ONCE) for _ in range(2)))
    assert sorted(both) == [0, 1]
    assert len(hook.received) == 1


async def test_filter_narrows_a_rule(engine: Engine, hook: Hook, sender: WebhookSender) -> None:
    job_id = await engine.job(tags={"team": "money"})
    for wanted in (
        {"jobs": [str(job_id)]},
        {"tags": {"team": "money"}},
        {"jobs": ["other"]},
        {"tags": {"team": "other"}},
        {"schedules": ["any"]},
    ):
        await rule(engine, hook.url, "RUN_FAILED", filter=wanted)
    await run_ends(engine, None, job_id, FAILED)
    await tell(engine, sender)
    assert len(hook.received) == 2


async def test_finding_is_told_when_it_is_as_severe_as_asked_and_when_it_is_over(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    now = await engine.now()
    asked = {"minSeverity": "CRITICAL"}
    await rule(engine, hook.url, "FINDING_OPENED", "FINDING_RESOLVED", filter=asked)
    for severity in (Severity.WARNING, Severity.CRITICAL, None):
        async with engine.runtime.database.reading(None) as connection:
            standing = await read_open_findings(connection)
        observed = (
            []
            if severity is None
            else [Observation(FindingCode.TICKER_SILENT, severity, now, "Silent.")]
        )
        await settle_findings(engine.runtime, observed=observed, standing=standing)
        await tell(engine, sender)
    assert [received.events for received in hook.received] == [
        ["FINDING_OPENED"],
        ["FINDING_RESOLVED"],
    ]
    (told,) = hook.received[0].body["data"]["notifications"]
    assert (told["finding"]["code"], told["message"]) == ("TICKER_SILENT", "Silent.")


async def test_schedule_that_paused_itself_is_told_and_one_that_somebody_paused_is_not(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, pause_after_failures=1)
    await rule(engine, hook.url, "SCHEDULE_AUTO_PAUSED")
    await run_ends(engine, schedule_id, job_id, FAILED)
    await pause_failing_schedules(engine.runtime, [schedule_id])
    await tell(engine, sender)
    await engine.rows(
        "INSERT INTO event (project_id, subject, change, entity_ids, revisions)"
        " VALUES (:project_id, 'SCHEDULE', 'PAUSED', ARRAY[cast(:id AS uuid)], '{9}')",
        project_id=engine.project_id,
        id=schedule_id,
    )
    await tell(engine, sender)
    assert [received.events for received in hook.received] == [["SCHEDULE_AUTO_PAUSED"]]
    (told,) = hook.received[0].body["data"]["notifications"]
    assert told["message"].startswith("Paused after 1 failures in a row.")


async def test_mail_is_handed_in_with_what_happened(
    engine: Engine, mailbox: Mailbox, sender: WebhookSender
) -> None:
    await rule(engine, "", "RUN_FAILED", target={"type": "email", "to": ["a@example.org"]})
    job_id = await engine.job()
    await run_ends(engine, None, job_id, FAILED)
    await tell(engine, sender)
    (mail,) = mailbox.mails
    assert mailbox.recipients == [["a@example.org"]]
    assert f"Run failed: job {job_id}: It failed on purpose." in mail["Subject"]
    assert mail["From"] == "tickwheel@example.org"
    assert f"Run failed: job {job_id}" in mail.get_content()


async def test_address_that_was_closed_since_is_not_reached(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    closed = WebhookSender.open(type(engine.runtime.handler_options)())
    await rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, await engine.job(), FAILED)
    try:
        await tell(engine, closed)
    finally:
        await closed.close()
    (row,) = await messages(engine)
    assert row["state"] == "WAITING"
    assert row["error"].startswith("AddressRefused")
    assert hook.received == []


async def test_process_that_finds_no_worker_tells_of_it_itself(engine: Engine, hook: Hook) -> None:
    """No worker was ever started here: only a watchdog and the notifier it wakes."""
    await engine.worker()
    # A ticker that has just fallen silent is not critical yet.
    await rule(engine, hook.url, "FINDING_OPENED", filter={"minSeverity": "CRITICAL"})
    await engine.rows("UPDATE worker SET heartbeat_at = now() - interval '1 minute'")
    # Only a wake makes this one look again in time.
    notifier = Notifier(engine.runtime, look_seconds=3600)
    watchdog = Watchdog(engine.runtime, tell=notifier.wake, look_seconds=0.05, grace_seconds=0.5)
    loops = [asyncio.create_task(notifier.run()), asyncio.create_task(watchdog.run())]
    try:
        told = await hook.until("FINDING_OPENED")
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    assert told["finding"]["code"] == "NO_WORKER"
