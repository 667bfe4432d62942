"""How often a caller may ask, counted over all processes."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.core.vocabulary import Role
from app.services.access import issue_token
from app.store.instants import read_now
from tests.schema.api import Api, running_api

_QUERY = {"query": "{ __typename }"}
_CHANGE = {"query": 'mutation { jobArchive(id: "job_x") { errors { code } } }'}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """Return the code of its only error."""
        (error,) = self.body["errors"]
        return str(error["extensions"]["code"])


async def ask(api: Api, body: dict[str, Any] | None = None) -> Answer:
    """Return the answer to an operation."""
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.http.post(api.url, json=body or _QUERY, headers=headers) as response:
        return Answer(response.status, response.headers, await response.json())


async def statuses(api: Api, count: int, body: dict[str, Any] | None = None) -> list[int]:
    """Return the statuses of that many answers."""
    return [(await ask(api, body)).status for _ in range(count)]


async def new_token(api: Api) -> str:
    """Return another caller's token."""
    async with api.runtime.database.transaction() as transaction:
        now = await read_now(transaction)
        row, secret = issue_token(name="other", role=Role.ADMIN, project_id=None, created_at=now)
        transaction.add(row)
    return secret


async def test_processes_share_what_a_caller_may_ask_and_callers_share_nothing(
    database_url: str, redis_url: str
) -> None:
    """Made to fail by keeping the permits in the process, and by one name for everybody."""
    settings = {"rate_requests": 20, "rate_mutations": 3}
    async with (
        running_api(database_url, redis_url, **settings) as one,
        running_api(database_url, redis_url, **settings) as two,
    ):
        assert await statuses(one, 12) == [200] * 12
        assert await statuses(two, 12) == [200] * 8 + [429] * 4
        refused = await ask(one)
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Limit"] == "20"
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert refused.code == "RATE_LIMITED"
        assert "data" not in refused.body
        two.token = one.token = await new_token(one)
        assert await statuses(one, 2, _CHANGE) == [200] * 2
        assert await statuses(two, 2, _CHANGE) == [200, 429]
        answered = await ask(two)
        assert answered.status == 200
        assert answered.headers["RateLimit-Remaining"] == "15"


async def test_block_that_is_leased_is_spent_without_asking_redis(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, rate_requests=2_000) as api:
        assert (await ask(api)).status == 200
        redis: Redis = Redis.from_url(redis_url)
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        assert await statuses(api, 19) == [200] * 19
        after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        await redis.aclose()
        assert after == before
        assert (await ask(api)).headers["RateLimit-Remaining"] == str(2_000 - 21)


async def test_one_process_takes_no_more_than_the_burst_in_a_second(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, rate_burst=5) as api:
        answers = await asyncio.gather(*(ask(api) for _ in range(40)))
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        async with asyncio.timeout(10):
            while (await ask(api)).status != 200:  # noqa: ASYNC110 - a second passes
                await asyncio.sleep(0.1)


async def test_strangers_are_counted_by_address(database_url: str, redis_url: str) -> None:
    async with running_api(database_url, redis_url, rate_strangers=3) as api:
        token, api.token = api.token, "nonsense"
        assert await statuses(api, 5) == [401] * 3 + [429] * 2
        api.token = token
        assert await statuses(api, 1) == [200]


async def test_without_redis_each_process_counts_for_itself_or_answers_nobody(
    database_url: str, tmp_path: Any
) -> None:
    nowhere = f"unix://{tmp_path}/nobody.sock?db=0"
    async with running_api(database_url, nowhere, rate_requests=5) as api:
        assert await statuses(api, 7) == [200] * 5 + [429] * 2
    closed = {"rate_requests": 5, "rate_without_redis": "closed"}
    async with running_api(database_url, nowhere, **closed) as api:
        answered = await ask(api)
        assert answered.status == 503
        assert answered.code == "DEPENDENCY_UNAVAILABLE"


async def test_operations_of_a_socket_are_counted_and_the_socket_lives(
    database_url: str, redis_url: str
) -> None:
    async with (
        running_api(database_url, redis_url, rate_requests=2) as api,
        api.socket() as connection,
    ):
        kinds = []
        for number in range(3):
            message = {"id": str(number), "type": "subscribe", "payload": _QUERY}
            await connection.send(json.dumps(message))
            answer = json.loads(await connection.recv())
            kinds.append(answer["type"])
            if answer["type"] == "next":
                assert json.loads(await connection.recv())["type"] == "complete"
        assert kinds == ["next", "next", "error"]
        assert answer["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await connection.send('{"type": "ping"}')
        assert json.loads(await connection.recv())["type"] == "pong"
