"""The explorer: served safely, built from its sources, and speaking to the API as it ships."""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession
from graphql import GraphQLSchema, build_schema, parse, validate
from yarl import URL

from app.schema.explorer import explorer_routes
from tests.clients.node import NodeClients, node_clients
from tests.clients.small_server import (
    TOKEN,
    SmallServer,
    hang_up_on_one,
    serving,
    small_server,
)

__all__ = ["node_clients", "small_server"]

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "graphiql"
BUILT = ROOT / "app" / "schema" / "graphiql"
EXAMPLES = sorted((SOURCES / "examples").glob("*.graphql"))
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end; the names of the headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str


class Browser:
    """Asks as a browser does that opens an address."""

    def __init__(self, session: ClientSession, server: SmallServer) -> None:
        self._session = session
        self._server = server

    async def get(self, path: str, **headers: str) -> Answer:
        # As it stands: a client that tidies the path would hide what the server makes of it.
        url = URL(f"http://127.0.0.1:{self._server.port}{path}", encoded=True)
        async with self._session.get(url, headers={**BROWSER, **headers}) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, names, await response.text())


@pytest.fixture
async def browser(small_server: SmallServer) -> AsyncIterator[Browser]:
    async with ClientSession() as session:
        yield Browser(session, small_server)


def linked_files(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', page)


@pytest.mark.parametrize("path", ["/graphql", "/graphiql"])
async def test_a_browser_gets_the_page_without_a_token(browser: Browser, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<div id="explorer">' in answer.text


async def test_the_policy_allows_nothing_but_our_own_files(browser: Browser) -> None:
    policy = (await browser.get("/graphql")).headers["content-security-policy"]
    sources = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert sources.pop("default-src") == "'none'"
    assert {"script-src", "style-src", "connect-src"} <= sources.keys()
    assert set(sources.values()) <= {"'self'", "'none'"}


async def test_the_page_holds_no_inline_script_or_style_and_names_no_other_host(
    browser: Browser,
) -> None:
    page = (await browser.get("/graphql")).text
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page) == []
    assert [link for link in linked_files(page) if "//" in link or link.startswith("/")] == []


@pytest.mark.parametrize("path", ["/graphql", "/graphiql", "/graphiql/{explorer}"])
async def test_every_answer_carries_the_security_headers(browser: Browser, path: str) -> None:
    explorer = next((BUILT / "static").glob("explorer-*.js")).name
    headers = (await browser.get(path.format(explorer=explorer))).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_the_page_is_revalidated_and_kept_apart_from_data(browser: Browser) -> None:
    headers = (await browser.get("/graphql")).headers
    assert headers["cache-control"] == "no-cache"
    assert headers["vary"] == "Accept"


async def test_every_file_the_page_links_is_served_for_ever_with_its_type(browser: Browser) -> None:
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    links = linked_files((await browser.get("/graphql")).text)
    assert {Path(link).suffix for link in links} == set(types)
    for link in links:
        answer = await browser.get(f"/{link}")
        assert answer.status == 200, link
        assert answer.headers["content-type"].split(";")[0] == types[Path(link).suffix]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_known_file_is_not_sent_again(browser: Browser) -> None:
    link = linked_files((await browser.get("/graphql")).text)[-1]
    etag = (await browser.get(f"/{link}")).headers["etag"]
    again = await browser.get(f"/{link}", **{"if-none-match": etag})
    assert again.status == 304
    assert again.text == ""


@pytest.mark.parametrize(
    "path", ["/graphiql/nothing.js", "/graphiql/../explorer.py", "/graphiql/%2e%2e/index.html"]
)
async def test_nothing_else_is_served(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).status == 404


async def test_a_client_that_asks_for_data_gets_no_page(browser: Browser) -> None:
    answer = await browser.get("/graphql", accept="application/json")
    assert answer.status == 401
    assert "html" not in answer.headers["content-type"]


def test_a_path_that_the_links_of_the_page_cannot_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="/graphiql"):
        explorer_routes("/explorer")


def test_the_bundle_is_small() -> None:
    files = [path.read_bytes() for path in BUILT.rglob("*") if path.is_file()]
    assert sum(map(len, files)) < 1_600_000
    assert sum(len(gzip.compress(content)) for content in files) < 500_000


def test_the_bundle_needs_no_exception_from_the_policy() -> None:
    for path in BUILT.rglob("*.js"):
        assert not re.search(r"\bnew Function\(|[^.\w]eval\(", path.read_text()), path.name
    for path in BUILT.rglob("*.css"):
        assert not re.search(r"url\(|@import", path.read_text()), path.name


@pytest.mark.parametrize(("part", "root"), [("from", SOURCES), ("into", BUILT)])
def test_the_bundle_is_what_its_sources_build(part: str, root: Path) -> None:
    recorded = json.loads((SOURCES / "built.json").read_text())[part]
    present = {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in sorted(recorded)
    }
    assert present == recorded, "Run `npm run build` in graphiql/ and commit what it changes."


def test_every_source_and_every_built_file_is_recorded() -> None:
    recorded = json.loads((SOURCES / "built.json").read_text())
    for root, folders, part in (
        (SOURCES, ("examples", "src"), "from"),
        (BUILT, ("static",), "into"),
    ):
        present = {
            f"{folder}/{path.name}" for folder in folders for path in (root / folder).iterdir()
        }
        assert present <= recorded[part].keys()


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_valid_against_the_schema(example: Path, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(example.read_text())) == []


def test_each_example_stands_in_a_tab() -> None:
    tabs = (SOURCES / "src" / "examples.js").read_text()
    for example in (SOURCES / "examples").iterdir():
        assert f"'../examples/{example.name}'" in tabs


async def test_the_shipped_fetcher_answers_a_query_for_its_project(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "explorer.mjs", small_server.http_url, TOKEN, "{ project }", {}, *fetcher("--project=shop")
    ) as explorer:
        assert await explorer.next_data() == {"project": "shop"}


async def test_the_shipped_fetcher_shows_why_it_was_refused(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "explorer.mjs", small_server.http_url, "", "{ project }", {}, *fetcher()
    ) as explorer:
        answer = await explorer.message()
    assert answer["payload"] == {"errors": [{"message": "Who are you?"}]}


async def test_the_shipped_fetcher_resumes_a_subscription_without_loss(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    document = """
        subscription Ticks($after: String! = "0") {
          ticks(until: 6, cutAt: 3, after: $after) { cursor }
        }
    """
    async with node_clients.start(
        "explorer.mjs", small_server.http_url, TOKEN, document, {}, *fetcher()
    ) as explorer:
        received = [(await explorer.next_data())["ticks"]["cursor"] for _ in range(6)]
        assert (await explorer.message())["type"] == "complete"
    assert received == ["1", "2", "3", "4", "5", "6"]


async def test_the_shipped_fetcher_resumes_when_the_server_comes_back(
    node_clients: NodeClients,
) -> None:
    document = 'subscription Forever($after: String! = "0") { forever(after: $after) { cursor } }'
    async with AsyncExitStack() as stack:
        async with serving() as server:
            explorer = await stack.enter_async_context(
                node_clients.start("explorer.mjs", server.http_url, TOKEN, document, {}, *fetcher())
            )
            assert await explorer.next_data() == {"forever": {"cursor": "1"}}
        await hang_up_on_one(server.port)
        async with serving(server.port):
            assert await explorer.next_data() == {"forever": {"cursor": "2"}}


async def test_the_shipped_fetcher_says_when_the_token_is_refused(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    document = "subscription { forever { cursor } }"
    async with node_clients.start(
        "explorer.mjs", small_server.http_url, "wrong", document, {}, *fetcher()
    ) as explorer:
        answer = await explorer.message()
    assert answer["type"] == "failed"
    assert "4403 Forbidden" in answer["message"]


def fetcher(*options: str) -> list[str]:
    (built,) = (BUILT / "static").glob("fetcher-*.js")
    return [f"--fetcher={built}", *options]
