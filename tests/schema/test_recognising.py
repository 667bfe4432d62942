"""Callers who are remembered for a moment, and no longer than they may be."""

import asyncio
from typing import Any

import pytest

from app.schema.http import GraphQLEndpoint
from app.services import access
from app.store.tokens import read_token
from tests.schema.api import Api, running_api

_CREATE = """mutation { apiTokenCreate(input: {name: "t", role: VIEWER}) {
    secret token { id } errors { message } } }"""
_REVOKE = "mutation($id: ID!) { apiTokenRevoke(id: $id) { errors { message } } }"


async def status(api: Api, token: str) -> int:
    """Return how a trivial query is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    async with api.http.post(api.url, json={"query": "{ __typename }"}, headers=headers) as answer:
        return answer.status


async def test_caller_is_looked_up_once_and_refused_as_soon_as_the_token_is_revoked(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made to fail by remembering callers for ever, and by not counting what is revoked here."""
    looked_up: list[Any] = []

    async def counting(connection: Any, token_id: Any) -> Any:
        looked_up.append(token_id)
        return await read_token(connection, token_id)

    monkeypatch.setattr("app.services.access.read_token", counting)
    monkeypatch.setattr(access, "KNOWN_SECONDS", 3600.0)
    async with (
        running_api(database_url, redis_url) as one,
        running_api(database_url, redis_url) as two,
    ):
        made = (await one.data(_CREATE))["apiTokenCreate"]
        assert [await status(one, made["secret"]) for _ in range(5)] == [200] * 5
        assert len(looked_up) == 1
        monkeypatch.setattr(access, "KNOWN_SECONDS", 1.0)
        assert await status(two, made["secret"]) == 200
        assert (await one.data(_REVOKE, id=made["token"]["id"]))["apiTokenRevoke"] == {"errors": []}
        assert await status(one, made["secret"]) == 401
        async with asyncio.timeout(10):
            while await status(two, made["secret"]) != 401:  # noqa: ASYNC110 - time passes
                await asyncio.sleep(0.05)


async def test_what_nobody_expected_is_masked_and_has_a_reference(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(GraphQLEndpoint, "_identify", broken)
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.http.post(api.url, json={"query": "{ a }"}, headers=headers) as answer:
        assert answer.status == 500
        body = await answer.text()
        (error,) = (await answer.json())["errors"]
    assert "secret" not in body
    assert error["extensions"]["reference"] in error["message"]
