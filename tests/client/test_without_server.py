"""What the client says and does when there is no server, or none that it may trust."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from graphql import build_schema, parse, validate

from app.client.address import find_address
from app.client.commands.times import next_
from app.client.errors import Misused, Refused, Unreachable
from app.client.output import Format, Zone, plain, structured
from app.client.resources import RESOURCES
from app.client.server import Server
from tests.client.conftest import typed
from tests.test_cli import tickwheel

ROOT = Path(__file__).parents[2]
OPERATIONS = sorted((ROOT / "app" / "client" / "operations").glob("*.graphql"))
NOBODY = {"TICKWHEEL_URL": "http://127.0.0.1:1", "TICKWHEEL_DATA_DIR": "/nonexistent"}


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_each_document_is_valid_against_the_schema(path: Path) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    assert validate(schema, parse(path.read_text())) == []


@pytest.mark.parametrize(
    "command", ["get", "describe", "trigger", "logs", "pause", "resume", "next", "validate"]
)
def test_help_teaches_by_examples_that_hold_no_token(command: str) -> None:
    said = typed([command, "--help"], environment={"COLUMNS": "200"})
    assert said.code == 0
    examples = said.stdout.partition("Examples")[2]
    assert f"tickwheel {command} " in examples
    assert "--token" not in examples


def test_a_server_that_is_not_there_ends_with_4_and_says_what_to_do() -> None:
    said = tickwheel("get", "schedules", **NOBODY)
    assert said.returncode == 4
    assert said.stdout == ""
    assert said.stderr.startswith("error: UNREACHABLE: No answer from http://127.0.0.1:1/graphql")
    assert "hint: " in said.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "nothing"], "There are schedules, jobs, runs"),
        (["get", "workers", "--failing"], "cannot be filtered by --failing"),
        (["get", "jobs", "--watch"], "cannot be watched"),
        (["get", "schedules", "--search", "x", "-w"], "--search narrows a list, but no stream"),
        (["get", "schedules", "--tag", "team"], "--tag team=billing"),
        (["trigger"], "Name a schedule, or a --job"),
        (["trigger", "x", "-p", "day"], "-p day=2027-03-28"),
        (["trigger", "x", "--parameters", "[1]"], "not a JSON object"),
        (["describe", "schedule", "x", "--at", "2027-03-28T02:30"], "with its offset"),
        (["get", "jobs", "--url", "ftp://example.org"], "not the URL of a server"),
        (["next", "0 0 * * *", "-n", "0"], "--count"),
    ],
)
def test_wrong_use_ends_with_2_and_says_how_it_is_right(arguments: list[str], words: str) -> None:
    said = typed(arguments, environment=NOBODY)
    assert said.code == 2
    assert words in said.stderr


def test_next_tells_of_the_clocks_without_a_server() -> None:
    said = tickwheel(
        "next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-03-27T12:00Z", "-n", "2",
        **NOBODY,
    )  # fmt: skip
    assert said.returncode == 0
    assert "At 02:30, every day" in said.stdout
    assert "2027-03-28T02:30:00  +02:00  2027-03-28 01:00:00 +00:00" in said.stdout
    assert "GAP_MOVED" in said.stdout
    assert "warning: DST_GAP" in said.stderr


def test_next_as_data_is_what_the_api_says(capsys: pytest.CaptureFixture[str]) -> None:
    next_("0 9 * * MON#1", count=3, from_="2027-01-01T00:00Z", output=Format.JSON)
    explained = json.loads(capsys.readouterr().out)
    assert [each["at"][:10] for each in explained["next"]] == [
        "2027-01-04",
        "2027-02-01",
        "2027-03-01",
    ]


def test_what_never_fires_is_not_valid() -> None:
    said = typed(["validate", "0 0 31 2 *"], environment=NOBODY)
    assert said.code == 1
    assert said.stderr.startswith("error: INVALID (expression): The expression never fires")
    with pytest.raises(Refused, match="Europe/Berlyn"):
        next_("0 0 * * *", tz="Europe/Berlyn")


def test_the_token_of_a_development_instance_goes_to_no_other_server(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("tw_admin.secret\n")
    environ = {"TICKWHEEL_DATA_DIR": str(tmp_path), "TICKWHEEL_PORT": "8090"}
    here = find_address(url=None, token=None, project=None, environ=environ)
    assert (here.url, here.token) == ("http://127.0.0.1:8090/graphql", "tw_admin.secret")
    for elsewhere in ("https://tickwheel.example.org", "http://127.0.0.1:8080"):
        named = find_address(url=elsewhere, token=None, project=None, environ=environ)
        assert named.token is None
    with pytest.raises(Misused):
        find_address(url="localhost:8080", token=None, project=None, environ={})


@pytest_asyncio.fixture
async def strange_server() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Redirect whoever asks for `/away`, answer others with a page; keep what was heard."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head)
        status = b"302 Found\r\nLocation: /taken" if b"/away" in head else b"200 OK"
        writer.write(
            b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


@pytest.mark.parametrize("path", ["/", "/away"])
async def test_a_token_follows_no_redirect_and_a_page_is_no_answer(
    strange_server: tuple[str, list[bytes]], path: str
) -> None:
    """Fails without the handler that follows no redirects: the token is sent to `/taken`."""
    url, heard = strange_server
    server = Server(find_address(url=url + path, token="secret", project=None, environ={}))
    with pytest.raises(Unreachable, match="no Tickwheel"):
        await asyncio.to_thread(server.ask, "viewer", "viewer")
    assert len(heard) == 1


def test_a_refusal_cannot_speak_to_the_terminal_either(tmp_path: Path) -> None:
    said = tickwheel("validate", "--file", str(tmp_path / "\x1b[2J"), **NOBODY)
    assert said.returncode == 2
    assert "cannot be read" in said.stderr
    assert "\x1b" not in said.stderr


def test_nothing_from_the_server_speaks_to_the_terminal() -> None:
    hostile = "\x1b]0;title\x07\x1b[2Jname\r\n\x9b31m"
    shown = plain(hostile)
    assert shown.isprintable()
    for form in (Format.JSON, Format.YAML):
        written = structured({"name": hostile}, form)
        assert all(each.isprintable() or each == "\n" for each in written)
    assert json.loads(structured(hostile, Format.JSON)) == hostile


def test_an_instant_is_shown_with_its_offset() -> None:
    zone = Zone.named("America/New_York")
    assert zone.show("2027-07-01T12:00:00.123456Z") == "2027-07-01 08:00:00 -04:00"
    with pytest.raises(Misused):
        Zone.named("../etc/passwd")


def test_help_answers_soon_because_nothing_of_the_server_is_imported() -> None:
    """Fails as soon as a module at the top of the command line imports what a server needs."""
    script = "import app.cli, sys; print(*[n for n in sys.modules if '.' not in n])"
    said = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "python"), "-c", script], capture_output=True, text=True,
        check=True, cwd=ROOT,
    )  # fmt: skip
    imported = set(said.stdout.split())
    assert "typer" in imported
    assert not imported & {"strawberry", "sqlalchemy", "pydantic", "aiohttp", "redis", "websockets"}


def test_every_list_can_be_named_in_the_singular() -> None:
    assert all(RESOURCES[name].name == name for name in RESOURCES)
