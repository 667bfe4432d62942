"""A log from a command's mouth to a subscriber's ear, over everything that lies between."""

import json
from typing import Any

from tests.schema.api import Api, running_api
from tests.worker.control import Services, a_worker, command_job, trigger, until

RUN_LOG = """
subscription($runId: ID!, $after: Cursor, $tail: Int, $minLevel: LogLevel) {
    runLog(runId: $runId, after: $after, tail: $tail, minLevel: $minLevel) {
        __typename
        ... on StreamMessage { cursor serverTime }
        ... on LogChunk { dropped finished lines { cursor sequence level stream attempt text } }
        ... on StreamReset { reason } } }
"""
LOG = """
query($id: ID!, $first: Int, $after: Cursor, $attempt: Int, $minLevel: LogLevel) { run(id: $id) {
    log(first: $first, after: $after, attempt: $attempt, minLevel: $minLevel) {
        truncated dropped pageInfo { hasNextPage endCursor } nodes { sequence attempt text } } } }
"""


async def listen(
    api: Api, run_id: str, *, until_text: str = "", **how: Any
) -> tuple[str, list[str]]:
    """Follow a log to its end, or to a line; return the last cursor and what was heard."""
    heard: list[str] = []
    async with api.watching(RUN_LOG, runId=run_id, **how) as stream:
        async for message in stream:
            assert message["__typename"] in ("LogChunk", "Heartbeat"), message
            lines = message.get("lines", [])
            heard += [line["text"] for line in lines if line["stream"] == "stdout"]
            if message.get("finished") or (until_text and until_text in heard):
                return message["cursor"], heard
    raise AssertionError("The stream ended without a word.")


async def read_all(api: Api, run_id: str, **how: Any) -> list[dict[str, Any]]:
    """Page through a log."""
    nodes: list[dict[str, Any]] = []
    after = None
    while True:
        log = (await api.data(LOG, id=run_id, after=after, **how))["run"]["log"]
        nodes += log["nodes"]
        after = log["pageInfo"]["endCursor"]
        if not log["pageInfo"]["hasNextPage"]:
            return nodes


async def test_a_log_is_heard_while_its_command_runs_and_over_a_restart_of_the_api(
    services: Services, database_url: str, redis_url: str
) -> None:
    """Made to fail by resuming one line late."""
    said = [str(number) for number in range(1, 41)]
    script = f"for i in {' '.join(said)}; do echo $i; sleep 0.05; done"
    async with a_worker(services):
        async with running_api(database_url, redis_url) as api:
            run_id = await trigger(api, await command_job(api, script))
            cursor, first = await listen(api, run_id, until_text="3")
        async with running_api(database_url, redis_url) as api:
            _, rest = await listen(api, run_id, after=cursor)
            assert first + rest == said
            pages = await read_all(api, run_id, first=7)
            assert [n["text"] for n in pages if n["text"].isdigit()] == said
            _, tail = await listen(api, run_id, tail=3)
            assert tail == said[-2:]  # The very last line tells how it ended.


async def test_a_socket_says_complete_after_the_end_of_the_log(
    api: Api, services: Services
) -> None:
    async with a_worker(services):
        run_id = await trigger(api, await command_job(api, "echo bye"))
        await until(api, [run_id], "SUCCEEDED")
    async with api.socket() as connection:
        payload = {"query": RUN_LOG, "variables": {"runId": run_id}}
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        kinds: list[str] = []
        while kinds[-1:] != ["complete"]:
            kinds.append(json.loads(await connection.recv())["type"])
        assert kinds == ["next", "complete"]


async def test_lines_of_each_attempt_can_be_told_apart(api: Api, services: Services) -> None:
    script = 'echo "try $TICKWHEEL_ATTEMPT"; exit 1'
    retry = {"maxAttempts": 2, "initialDelay": "PT0S", "jitter": False}
    async with a_worker(services):
        run_id = await trigger(api, await command_job(api, script, retry=retry))
        _, heard = await listen(api, run_id)
    assert heard == ["try 1", "try 2"]
    texts = [node["text"] for node in await read_all(api, run_id, attempt=2)]
    assert texts[0] == "try 2"
    sequences = [node["sequence"] for node in await read_all(api, run_id)]
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_flood_is_bounded_and_what_was_dropped_is_told(
    api: Api, services: Services
) -> None:
    async with a_worker(services):
        run_id = await trigger(api, await command_job(api, "seq 1 300000"))
        dropped = 0
        async with api.watching(RUN_LOG, runId=run_id) as stream:
            async for message in stream:
                dropped += message.get("dropped", 0)
                if message.get("finished"):
                    break
        nodes = await read_all(api, run_id, first=1000)
    log = (await api.data(LOG, id=run_id, first=0))["run"]["log"]
    kept = [node["text"] for node in nodes if node["text"].isdigit()]
    assert kept[0] == "1"
    assert kept[-1] == "300000"
    assert (log["dropped"], log["truncated"]) == (dropped, True)
    assert dropped + len(kept) == 300_000


async def test_the_log_of_an_unknown_run_is_an_error(api: Api) -> None:
    async with api.socket() as connection:
        payload = {"query": RUN_LOG, "variables": {"runId": "run_" + "0" * 32}}
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        message = json.loads(await connection.recv())
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "NOT_FOUND"
