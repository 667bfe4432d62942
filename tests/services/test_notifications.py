"""What rules tell, to real receivers: once for each occurrence, and never nothing.

Breaks that were tried, and which test failed: recovery told of every success (the recovery); no
pause between two messages (the storm); a claim without a lease (the process that died); findings
that changed left out (the severity); a watchdog that wakes nobody (no worker).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from aiosmtpd.smtp import LoginPassword
from sqlalchemy import event

from app.core.changes import Change
from app.core.health import Observation
from app.core.vocabulary import FindingCode, RunCause, Severity
from app.handlers.execution import SUCCEEDED, Outcome
from app.handlers.mail import MailServer
from app.handlers.webhook import WebhookSender
from app.models.columns import new_id
from app.services.firing import fire_due
from app.services.health.findings import settle_findings
from app.services.health.watchdog import Watchdog
from app.services.notifications.delivering import MOST_ATTEMPTS, Patience, deliver
from app.services.notifications.gathering import gather
from app.services.notifications.notifier import Notifier
from app.services.pausing import pause_failing_schedules
from app.store.findings import read_open_findings
from tests.certificates import certificate_for
from tests.engine import FAILED, Crash, Engine, ended, open_engine
from tests.services.sinks import (
    KEYS,
    PATIENCE_SECONDS,
    Hook,
    Mailbox,
    a_hook,
    a_mail_server,
    add_rule,
    add_secret,
)

SECRET = "correct-horse-battery-staple"
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
        await add_secret(engine, "hook", SECRET)
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


async def run_ends(
    engine: Engine, schedule_id: Any, job_id: Any, outcome: Outcome, **more: Any
) -> None:
    run_id = await engine.run(job_id, schedule_id, cause=RunCause.MANUAL, **more)
    (run,) = (await engine.claim()).runs
    assert run.execution.run_id == run_id
    assert await engine.finish(ended(run, outcome)) == 1


async def tell(engine: Engine, sender: WebhookSender) -> int:
    """Gather and deliver once, without the pause between two messages."""
    await gather(engine.runtime, pause_seconds=0)
    return await deliver(engine.runtime, sender, AT_ONCE)


@asynccontextmanager
async def notifying(
    engine: Engine, *, pause_seconds: float = 0, first_retry_seconds: float = 5
) -> AsyncIterator[None]:
    """Let a notifier live that looks by itself only once an hour."""
    notifier = Notifier(
        engine.runtime,
        patience=Patience(first_retry_seconds=first_retry_seconds),
        pause_seconds=pause_seconds,
        look_seconds=3600,
        rest_seconds=0,
    )
    async with alongside(notifier.run()):
        yield


@asynccontextmanager
async def alongside(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a loop meanwhile."""
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(engine: Engine, *, untold: int = 0) -> None:
    """Wait until every event has been read and every message has arrived."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            row = await engine.row(
                "SELECT (SELECT count(*) FROM notification_message WHERE state = 'WAITING')"
                " AS waiting, (SELECT count(*) FROM notification WHERE message_id IS NULL)"
                " AS untold, (SELECT count(*) FROM event, notification_feed WHERE NOT"
                " pg_visible_in_snapshot(transaction_id, cast(position AS pg_snapshot))) AS unread"
            )
            if row == {"waiting": 0, "untold": untold, "unread": 0}:
                return
            await asyncio.sleep(0.02)


async def messages(engine: Engine) -> list[dict[str, Any]]:
    return await engine.rows(
        "SELECT state, attempts, error FROM notification_message ORDER BY created_at"
    )


async def test_failure_and_the_recovery_after_it_are_told_once_each(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    await add_rule(engine, hook.url, "RUN_FAILED", "RUN_RECOVERED")
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
    await add_rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, job_id, FAILED)
    await tell(engine, sender)
    await engine.rows("UPDATE notification_feed SET position = :position", **before)
    await tell(engine, sender)
    assert len(hook.received) == 1


async def test_storm_is_told_at_once_and_then_in_one_message(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    job_id = await engine.job()
    await add_rule(engine, hook.url, "RUN_FAILED")
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
        await add_rule(engine, hook.url, "RUN_FAILED")
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
    await add_rule(engine, hook.url, "RUN_FAILED")
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
    await add_rule(engine, hook.url, "RUN_FAILED")
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
    await add_rule(engine, hook.url, "RUN_FAILED")
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
    """Each kind of filter lets pass what it names, and nothing else.

    Taking any of the four conditions out of `gather_notifications.sql` makes this fail.
    """
    job_id = await engine.job(tags={"team": "money"})
    schedule_id = await engine.schedule(job_id)
    told: dict[str, Any] = {
        "job": {"jobs": ["other", str(job_id)]},
        "schedule": {"schedules": [str(schedule_id)]},
        "tag of the job": {"tags": {"team": "money"}},
        "tag of the run": {"tags": {"kind": "nightly"}},
        "all of them": {
            "jobs": [str(job_id)],
            "schedules": [str(schedule_id)],
            "tags": {"team": "money", "kind": "nightly"},
            "minSeverity": "CRITICAL",
        },
    }
    not_told: dict[str, Any] = {
        "other job": {"jobs": ["other"]},
        "other schedule": {"schedules": ["other"]},
        "other tag": {"tags": {"team": "other"}},
        "one of two": {"jobs": [str(job_id)], "schedules": ["other"]},
    }
    for which, narrowed in [*told.items(), *not_told.items()]:
        await add_rule(engine, hook.url, "RUN_FAILED", filter=narrowed, key=which)
    await run_ends(engine, schedule_id, job_id, FAILED, tags={"kind": "nightly"})
    await tell(engine, sender)
    rules = [received.body["data"]["rule"] for received in hook.received]
    assert sorted(rules) == sorted(told)


async def test_finding_is_told_when_it_is_as_severe_as_asked_and_when_it_is_over(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    now = await engine.now()
    asked = {"minSeverity": "CRITICAL"}
    await add_rule(engine, hook.url, "FINDING_OPENED", "FINDING_RESOLVED", filter=asked)
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
    await add_rule(engine, hook.url, "SCHEDULE_AUTO_PAUSED")
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


async def test_quarantined_schedule_is_told(
    engine: Engine, hook: Hook, sender: WebhookSender
) -> None:
    schedule_id = await engine.schedule(timezone="Nowhere/At_All")
    await add_rule(engine, hook.url, "SCHEDULE_QUARANTINED", "SCHEDULE_AUTO_PAUSED")
    await fire_due(engine.runtime)
    # Also as a finding, without waiting for the monitor.
    [finding] = await engine.rows("SELECT code, schedule_id, message FROM health_finding")
    assert (finding["code"], finding["schedule_id"]) == ("QUARANTINED", schedule_id)
    assert "Nowhere/At_All" in finding["message"]
    await tell(engine, sender)
    assert [received.events for received in hook.received] == [["SCHEDULE_QUARANTINED"]]
    (told,) = hook.received[0].body["data"]["notifications"]
    assert told["schedule"]["key"] == str(schedule_id)
    assert "Nowhere/At_All" in told["message"]


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_mail_server_is_verified_and_logged_in_to(
    database_url: str, redis_url: str, tmp_path: Path, encryption: Literal["starttls", "tls"]
) -> None:
    """The mail leaves encrypted, under the account, and only to a server that can be trusted.

    Made to fail by a client that verifies no certificate, and by one that does not log in.
    """
    authority, context = certificate_for("mail.test", tmp_path)
    account = LoginPassword(b"tickwheel", b"a password of the mail server")
    async with (
        a_mail_server(host="127.0.0.9", account=account, **{encryption: context}) as mailbox,
        open_engine(database_url, redis_url) as engine,
    ):
        await add_rule(engine, "", "RUN_FAILED", target={"type": "email", "to": ["a@b.example"]})
        await run_ends(engine, None, await engine.job(), FAILED)
        server = MailServer(
            host="127.0.0.9",
            port=mailbox.port,
            sender="tickwheel@example.org",
            tls=encryption,
            user="tickwheel",
            password="a password of the mail server",
            ca_file=str(authority),
        )
        for wrong in (replace(server, ca_file=None), replace(server, password="another one")):
            assert await tell_by(engine, wrong) == 1
            assert mailbox.mails == []
        (row,) = await messages(engine)
        assert row["state"] == "WAITING"
        assert await tell_by(engine, server) == 1
        (row,) = await messages(engine)
    assert row["state"] == "DELIVERED"
    assert (len(mailbox.mails), mailbox.encrypted) == (1, [True])


async def tell_by(engine: Engine, server: MailServer) -> int:
    """Gather, and mail by this server."""
    runtime = replace(engine.runtime, mail_server=server)
    sender = WebhookSender.open(runtime.handler_options)
    try:
        await gather(runtime, pause_seconds=0)
        return await deliver(runtime, sender, AT_ONCE)
    finally:
        await sender.close()


async def test_mail_is_handed_in_with_what_happened(
    engine: Engine, mailbox: Mailbox, sender: WebhookSender
) -> None:
    await add_rule(engine, "", "RUN_FAILED", target={"type": "email", "to": ["a@example.org"]})
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
    await add_rule(engine, hook.url, "RUN_FAILED")
    await run_ends(engine, None, await engine.job(), FAILED)
    try:
        await tell(engine, closed)
    finally:
        await closed.close()
    (row,) = await messages(engine)
    assert row["state"] == "WAITING"
    assert row["error"].startswith("AddressRefused")
    assert hook.received == []


@pytest.mark.parametrize(
    ("code", "silent"),
    [("NO_WORKER", "heartbeat_at"), ("TICKER_SILENT", "last_tick_at")],
)
async def test_process_that_finds_the_engine_dead_tells_of_it_itself(
    engine: Engine, hook: Hook, code: str, silent: str
) -> None:
    """Nothing of an engine was ever started here: only a watchdog, and the notifier it wakes."""
    await engine.worker()
    await add_rule(engine, hook.url, "FINDING_OPENED")
    await engine.rows("UPDATE scheduler_state SET changed_at = now() - interval '1 hour'")
    await engine.rows("UPDATE worker SET last_tick_at = now()")
    await engine.rows(f"UPDATE worker SET {silent} = now() - interval '1 minute'")
    watchdog = Watchdog(engine.runtime, look_seconds=0.05, grace_seconds=0.5)
    async with notifying(engine), alongside(watchdog.run()):
        told = await hook.until("FINDING_OPENED")
    assert told["finding"]["code"] == code


async def test_process_that_writes_a_failure_tells_of_it_at_once(
    engine: Engine, hook: Hook
) -> None:
    """Without waiting for a look; and Redis has no part in it."""
    job_id = await engine.job()
    await add_rule(engine, hook.url, "RUN_FAILED")
    async with notifying(engine):
        await run_ends(engine, None, job_id, FAILED)
        told = await hook.until("RUN_FAILED")
    assert told["job"]["key"] == str(job_id)


async def test_what_waits_for_its_time_is_told_then(engine: Engine, hook: Hook) -> None:
    """What came in the pause after another message, and a message that did not arrive.

    Made to fail by a notifier that does not ask when the next message is made, or due.
    """
    job_id = await engine.job()
    await add_rule(engine, hook.url, "RUN_FAILED")
    async with notifying(engine, pause_seconds=0.5, first_retry_seconds=0.1):
        await run_ends(engine, None, job_id, FAILED)
        await hook.until("RUN_FAILED")
        await run_ends(engine, None, job_id, FAILED)
        await hook.until("RUN_FAILED", messages=2)
        hook.status = 500
        await run_ends(engine, None, job_id, FAILED)
        await hook.until("RUN_FAILED", messages=3)
        hook.status = 204
        await settled(engine)
    ids = [received.id for received in hook.received]
    assert len(set(ids)) == 3
    assert len(ids) > 3


async def test_notifier_asks_nothing_while_there_is_nothing_to_tell(engine: Engine) -> None:
    """Changes that no rule can tell of do not wake it: made to fail by being woken by any."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with notifying(engine):
        await run_ends(engine, None, await engine.job(), FAILED)
        await settled(engine)
        sync_engine = engine.runtime.database._engine.sync_engine
        event.listen(sync_engine, "before_cursor_execute", note)
        changed = [Change(engine.project_id, "SCHEDULE", "UPDATED", (new_id(),), (1,))]
        await engine.runtime.announce(changed)
        await asyncio.sleep(0.3)
        event.remove(sync_engine, "before_cursor_execute", note)
    assert statements == []


async def test_restart_repeats_nothing_and_keeps_the_pause(
    database_url: str, redis_url: str, engine: Engine, hook: Hook
) -> None:
    """What was told and when the next message may leave is known to whoever starts anew.

    Made to fail by a pause that is not written down.
    """
    job_id = await engine.job()
    await add_rule(engine, hook.url, "RUN_FAILED")
    async with notifying(engine, pause_seconds=3600):
        await run_ends(engine, None, job_id, FAILED)
        await hook.until("RUN_FAILED")
        await settled(engine)
    await run_ends(engine, None, job_id, FAILED)
    again = {"secret_keys": KEYS, "http_allow_networks": ("127.0.0.0/8",)}
    async with open_engine(database_url, redis_url, **again) as second:
        # It gathers what happened, and waits until the hour is over.
        async with notifying(second, pause_seconds=3600):
            await settled(second, untold=1)
        assert len(hook.received) == 1
        await engine.rows("UPDATE notification_rule SET next_message_at = now()")
        async with notifying(second, pause_seconds=3600):
            await hook.until("RUN_FAILED", messages=2)
            await settled(second)
    assert [len(received.events) for received in hook.received] == [1, 1]
