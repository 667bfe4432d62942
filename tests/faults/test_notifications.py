"""Messages whose sender is killed while it sends: none is lost, and who gets one twice can tell."""

from typing import Any

from app.core.vocabulary import NotificationEvent
from tests.faults.cluster import Cluster
from tests.services.sinks import KEYS, a_hook, add_rule, add_secret


async def test_message_whose_sender_was_killed_arrives_under_the_same_id(cluster: Cluster) -> None:
    """The sender is killed before it hears that it arrived: the next worker sends it again.

    Made to fail by a claim that ends a message before it has arrived, and by an id for each try.
    """
    engine = cluster.engine
    await add_secret(engine, "hook", "correct-horse-battery-staple")
    settings: dict[str, Any] = {"secret_keys": KEYS, "http_allow_networks": "127.0.0.0/8"}
    async with a_hook("correct-horse-battery-staple") as hook:
        hook.answers.clear()
        await add_rule(engine, hook.url, NotificationEvent.RUN_FAILED)
        worker = await cluster.start(**settings)
        job_id = await engine.job(config={"function": "app.handlers.builtin.fail"})
        run_id = await cluster.run_now(job_id)
        await engine.runtime.doorbell.ring()
        await hook.until("RUN_FAILED")
        await cluster.kill(worker)
        hook.answers.set()
        [before] = await engine.rows("SELECT id, state, attempts FROM notification_message")
        assert (before["state"], before["attempts"]) == ("WAITING", 1)
        # The claim of the one that is gone lapses.
        await engine.rows("UPDATE notification_message SET next_attempt_at = now()")
        await cluster.start(**settings)
        await cluster.until("SELECT 1 FROM notification_message WHERE state = 'DELIVERED'")
        assert [received.id for received in hook.received] == [f"msg_{before['id'].hex}"] * 2
        told = [received.body["data"]["notifications"] for received in hook.received]
        assert told[0] == told[1]
        assert told[0][0]["run"]["id"] == f"run_{run_id.hex}"
        assert await engine.row("SELECT count(*) FROM notification") == {"count": 1}
