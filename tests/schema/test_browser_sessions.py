"""A one-time link signs a browser in; its cookie counts only where our own page is asking."""

import asyncio
import os
import sys
from typing import Any

import pytest
import websockets
from aiohttp import ClientResponse, ClientSession, CookieJar
from sqlalchemy import text

from app.services.browser_sessions import login_link
from tests.schema.api import Api

VIEWER = {"query": "{ viewer { role actor { name } } }"}
INIT = '{"type": "connection_init"}'


class Browser:
    """Keeps cookies, and says where its pages come from."""

    def __init__(self, api: Api, session: ClientSession) -> None:
        self.api = api
        self.session = session
        self.base = f"http://127.0.0.1:{api.port}"

    async def post(self, path: str, body: Any, **headers: str) -> ClientResponse:
        """Send JSON, as a page of the same origin does."""
        given = {"Origin": self.base, **headers}
        return await self.session.post(self.base + path, json=body, headers=given)

    async def sign_in(self, code: str) -> ClientResponse:
        """Use a link."""
        return await self.post("/login", {"code": code})

    def cookie(self) -> str:
        """Return the cookies as a WebSocket sends them."""
        return "; ".join(f"{each.key}={each.value}" for each in self.session.cookie_jar)


@pytest.fixture
async def browser(api: Api) -> Any:
    """Return a browser that has been nowhere yet."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Browser(api, session)


async def code_for(database_url: str) -> str:
    """Return the code of a new link."""
    link = await login_link(database_url, "http://127.0.0.1")
    return link.partition("#code=")[2]


async def test_link_signs_one_browser_in_once(browser: Browser, database_url: str) -> None:
    code = await code_for(database_url)
    answer = await browser.sign_in(code)
    assert answer.status == 204
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    viewer = await (await browser.post("/graphql", VIEWER)).json()
    assert viewer["data"]["viewer"] == {"role": "ADMIN", "actor": {"name": "browser"}}
    again = await browser.sign_in(code)
    assert again.status == 401
    assert "used before" in (await again.json())["errors"][0]["message"]


async def test_two_browsers_cannot_share_a_link(browser: Browser, database_url: str) -> None:
    code = await code_for(database_url)
    answers = await asyncio.gather(*(browser.sign_in(code) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [204, 401, 401, 401, 401]


async def test_link_whose_time_is_over_opens_nothing(
    browser: Browser, api: Api, database_url: str
) -> None:
    code = await code_for(database_url)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("UPDATE login_code SET expires_at = now()"))
    assert (await browser.sign_in(code)).status == 401


async def test_cookie_alone_authenticates_no_get_and_no_other_page(
    browser: Browser, database_url: str
) -> None:
    """Without the look at the origin the last two are answered: that is what a CSRF needs."""
    await browser.sign_in(await code_for(database_url))
    get = await browser.session.get(
        f"{browser.base}/graphql",
        params={"query": "{ __typename }"},
        headers={"Origin": browser.base, "Accept": "application/json"},
    )
    assert get.status == 401
    for origin in ("http://127.0.0.1", "https://evil.example", "null"):
        assert (await browser.post("/graphql", VIEWER, Origin=origin)).status == 401
    silent = await browser.session.post(f"{browser.base}/graphql", json=VIEWER)
    assert silent.status == 401


async def test_form_of_another_page_cannot_sign_anybody_in(
    browser: Browser, database_url: str
) -> None:
    code = await code_for(database_url)
    form = await browser.session.post(
        f"{browser.base}/login", data={"code": code}, headers={"Origin": browser.base}
    )
    assert form.status == 400
    foreign = await browser.post("/login", {"code": code}, Origin="https://evil.example")
    assert foreign.status == 400
    bodies: list[Any] = [{}, [], {"code": 7}, {"code": "x" * 2_000}]
    for body in bodies:
        assert (await browser.post("/login", body)).status == 400
    assert (await browser.sign_in(code)).status == 204


async def test_socket_takes_the_cookie_from_our_own_page_only(
    browser: Browser, api: Api, database_url: str
) -> None:
    await browser.sign_in(await code_for(database_url))
    headers = {"Cookie": browser.cookie()}
    async with api.raw_socket(origin=browser.base, additional_headers=headers) as connection:
        await connection.send(INIT)
        assert "connection_ack" in str(await connection.recv())
    with pytest.raises(websockets.InvalidStatus) as refused:
        await api.raw_socket(origin="https://evil.example", additional_headers=headers)
    assert refused.value.response.status_code == 403
    # Whoever says nothing of where it comes from is no browser, and needs a token.
    async with api.raw_socket(additional_headers=headers) as connection:
        await connection.send(INIT)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_token_in_the_header_counts_before_the_cookie(
    browser: Browser, database_url: str
) -> None:
    await browser.sign_in(await code_for(database_url))
    answer = await browser.post("/graphql", VIEWER, Authorization="Bearer tw_wrong")
    assert answer.status == 401


async def test_signing_out_ends_the_session_everywhere(browser: Browser, database_url: str) -> None:
    await browser.sign_in(await code_for(database_url))
    stolen = browser.cookie()
    assert (await browser.post("/logout", {})).status == 204
    assert browser.cookie() == ""
    assert (await browser.post("/graphql", VIEWER)).status == 401
    assert (await browser.post("/graphql", VIEWER, Cookie=stolen)).status == 401
    actions = "{ audit { nodes { action actor { name } } } }"
    nodes = (await browser.api.data(actions))["audit"]["nodes"]
    assert [node["action"] for node in nodes] == ["logout", "login"]
    assert nodes[0]["actor"] == {"name": "browser"}


async def test_operator_makes_a_link_on_the_command_line(
    browser: Browser, database_url: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        "login-link",
        "--url",
        "https://tickwheel.example/",
        env={"TICKWHEEL_DATABASE_URL": database_url, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    address, _, code = output.decode().strip().partition("#code=")
    assert address == "https://tickwheel.example/graphql"
    assert (await browser.sign_in(code)).status == 204
