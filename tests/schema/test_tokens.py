"""Tokens are made, shown once, and taken back."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import websockets
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.vocabulary import Role
from app.services.access import issue_token
from app.store.instants import read_now
from tests.schema.api import ADMIN_TOKEN, ERRORS, Api

TOKEN = """token { id name role prefix createdAt expiresAt lastUsedAt revokedAt project { key } }"""
CREATE = f"""mutation($input: ApiTokenCreateInput!) {{
    apiTokenCreate(input: $input) {{ secret {TOKEN} {ERRORS} }} }}"""
REVOKE = f"""mutation($id: ID!) {{ apiTokenRevoke(id: $id) {{ secret {TOKEN} {ERRORS} }} }}"""
TOKENS = "{ apiTokens { id name role prefix lastUsedAt revokedAt project { key } } }"
VIEWER = "{ viewer { role actor { kind name } project { key } } }"


async def create(api: Api, **given: Any) -> dict[str, Any]:
    """Make a token and return the payload, which has no errors."""
    payload: dict[str, Any] = (await api.data(CREATE, input=given))["apiTokenCreate"]
    assert payload["errors"] == [], payload
    return payload


async def refused(api: Api, mutation: str = CREATE, **variables: Any) -> list[dict[str, Any]]:
    """Return why a mutation was not done."""
    (payload,) = (await api.data(mutation, **variables)).values()
    assert payload["token"] is None
    errors: list[dict[str, Any]] = payload["errors"]
    assert errors
    return errors


async def test_token_opens_its_project_with_its_role(api: Api) -> None:
    made = await create(api, name="reporting", role="VIEWER")
    assert made["token"]["project"] == {"key": "default"}
    assert made["secret"].startswith(made["token"]["prefix"] + ".")
    api.token = made["secret"]
    viewer = (await api.data(VIEWER))["viewer"]
    assert viewer["role"] == "VIEWER"
    assert viewer["actor"] == {"kind": "TOKEN", "name": "reporting"}
    assert viewer["project"] == {"key": "default"}


async def test_secret_is_shown_once_and_kept_nowhere(api: Api) -> None:
    made = await create(api, name="reporting", role="VIEWER")
    secret = made["secret"].partition(".")[2]
    async with api.runtime.database.reading(None) as connection:
        for table in ("api_token", "audit"):
            rows = await connection.execute(text(f"SELECT {table}::text FROM {table}"))
            assert all(secret not in row for row in rows.scalars())
    assert secret not in str(await api.data(TOKENS))


async def test_last_use_is_noted(api: Api) -> None:
    made = await create(api, name="reporting", role="VIEWER")
    api.token = made["secret"]
    await api.data(VIEWER)
    api.token = ADMIN_TOKEN
    [token] = (await api.data(TOKENS))["apiTokens"]
    assert token["lastUsedAt"] is not None


async def test_revoked_token_opens_nothing_and_closes_its_sockets(api: Api) -> None:
    """Made to fail by ringing no bell: then they would be found half a minute later."""
    made = await create(api, name="leaver", role="OPERATOR")
    admin, api.token = api.token, made["secret"]
    async with api.socket() as socket:
        api.token = admin
        payload = (await api.data(REVOKE, id=made["token"]["id"]))["apiTokenRevoke"]
        assert payload["errors"] == []
        assert payload["token"]["revokedAt"] is not None
        assert payload["secret"] is None
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(10):
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    api.token = made["secret"]
    [error] = (await api.ask(VIEWER))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    api.token = admin
    [conflict] = await refused(api, REVOKE, id=made["token"]["id"])
    assert (conflict["code"], conflict["currentState"]) == ("STATE_CONFLICT", "REVOKED")


async def test_stream_of_events_ends_with_an_error_when_its_token_is_revoked(api: Api) -> None:
    """Made to fail by looking after sockets only."""
    made = await create(api, name="leaver", role="VIEWER")
    body = {"query": "subscription { runEvents { __typename } }"}
    headers = {"Authorization": f"Bearer {made['secret']}", "Accept": "text/event-stream"}
    async with (
        asyncio.timeout(10),
        api.http.post(api.url, json=body, headers=headers) as response,
    ):
        told = await response.content.readuntil(b"\n\n")
        assert b"RunSnapshot" in told
        await api.data(REVOKE, id=made["token"]["id"])
        rest = await response.content.read()
    assert b'"code":"UNAUTHENTICATED"' in rest
    assert rest.endswith(b"event: complete\ndata:\n\n")


async def test_expired_token_is_refused(api: Api) -> None:
    async with api.runtime.database.transaction() as transaction:
        now = await read_now(transaction)
        row, secret = issue_token(
            name="old", role=Role.ADMIN, project_id=None, created_at=now, expires_at=now
        )
        transaction.add(row)
    api.token = secret
    [error] = (await api.ask(VIEWER))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_wrong_input_says_what_is_wrong_and_makes_no_token(api: Api) -> None:
    yesterday = (utc_now() - timedelta(days=1)).isoformat()
    errors = await refused(
        api, input={"name": " ", "role": "VIEWER", "expiresAt": yesterday, "instance": True}
    )
    assert [error["path"] for error in errors] == [["name"], ["expiresAt"], ["role"]]
    assert (await api.data(TOKENS))["apiTokens"] == []


async def test_only_administrators_hand_out_tokens_and_only_their_own_kind(api: Api) -> None:
    editor = await create(api, name="editor", role="EDITOR")
    admin = await create(api, name="project admin", role="ADMIN")
    instance = await create(api, name="instance admin", role="ADMIN", instance=True)
    assert instance["token"]["project"] is None

    api.token = editor["secret"]
    [error] = await refused(api, input={"name": "more", "role": "VIEWER"})
    assert error["code"] == "FORBIDDEN"
    [error] = await refused(api, REVOKE, id=admin["token"]["id"])
    assert error["code"] == "FORBIDDEN"
    assert (await api.ask(TOKENS))["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    api.token = admin["secret"]
    names = {token["name"] for token in (await api.data(TOKENS))["apiTokens"]}
    assert names == {"editor", "project admin"}
    [error] = await refused(api, input={"name": "more", "role": "ADMIN", "instance": True})
    assert error["code"] == "FORBIDDEN"
    # What it may not see is not there for it.
    [error] = await refused(api, REVOKE, id=instance["token"]["id"])
    assert error["code"] == "NOT_FOUND"

    api.token = instance["secret"]
    names = {token["name"] for token in (await api.data(TOKENS))["apiTokens"]}
    assert names == {"editor", "project admin", "instance admin"}
