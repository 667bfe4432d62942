"""The command line, as a person meets it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from app.sealing import Keyring

SERVERS = {
    "TICKWHEEL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "TICKWHEEL_REDIS_URL": "redis://127.0.0.1:1/0",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def tickwheel(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_teaches_how_to_try_it_and_names_every_command() -> None:
    said = tickwheel("--help")
    assert said.returncode == 0
    assert "tickwheel dev" in said.stdout
    for command in (
        "dev",
        "api",
        "worker",
        "migrate",
        "tick",
        "health",
        "secrets",
        "settings",
        "schema",
    ):
        assert f" {command} " in said.stdout


def test_version_is_printed() -> None:
    assert tickwheel("--version").stdout == f"tickwheel {__version__}\n"


@pytest.mark.parametrize("command", ["dev", "api", "worker", "migrate"])
def test_wrong_setting_stops_the_start_with_status_2(command: str) -> None:
    said = tickwheel(command, **SERVERS, TICKWHEEL_PORT="http")
    assert said.returncode == 2
    assert said.stderr == ("TICKWHEEL_PORT is 'http'. Allowed: a port, 1 to 65535.\n")


@pytest.mark.parametrize("command", ["api", "worker", "migrate"])
def test_process_says_which_server_it_was_not_given(command: str) -> None:
    said = tickwheel(command)
    assert said.returncode == 2
    assert said.stderr.startswith("TICKWHEEL_DATABASE_URL is not set.")


def test_api_refuses_an_address_others_can_reach_without_a_token() -> None:
    said = tickwheel("api", **SERVERS, TICKWHEEL_HOST="0.0.0.0")
    assert said.returncode == 1
    assert "no TICKWHEEL_ADMIN_TOKEN is set" in said.stderr
    assert "Traceback" not in said.stderr


def test_api_names_the_port_that_is_taken_and_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = tickwheel("api", **SERVERS, TICKWHEEL_PORT=str(port))
    assert said.returncode == 1
    assert f"127.0.0.1 port {port}: Address already in use" in said.stderr
    assert "TICKWHEEL_PORT" in said.stderr


def test_tick_wants_to_be_told_once() -> None:
    said = tickwheel("tick", **SERVERS)
    assert said.returncode == 2
    assert "--once" in said.stderr


def test_health_of_nobody_is_bad() -> None:
    said = tickwheel("health", "api", TICKWHEEL_PORT="1")
    assert said.returncode == 1
    assert said.stderr == "The api is not ready.\n"


def test_a_key_for_secrets_is_made_and_can_be_used() -> None:
    said = tickwheel("secrets", "generate-key", "2027-01")
    assert said.returncode == 0
    assert Keyring.read(said.stdout, None).current_id == "2027-01"
    assert tickwheel("secrets", "generate-key", "2027-01").stdout != said.stdout
    refused = tickwheel("secrets", "generate-key", "a b")
    assert (refused.returncode, refused.stderr[:8]) == (1, "A key's ")


def test_rotation_without_a_key_says_which_setting_is_missing() -> None:
    said = tickwheel("secrets", "rotate", **SERVERS)
    assert said.returncode == 1
    assert "TICKWHEEL_SECRET_KEYS_FILE" in said.stderr


def test_a_key_that_cannot_be_used_is_not_shown() -> None:
    said = tickwheel("worker", **SERVERS, TICKWHEEL_SECRET_KEYS="first:not-a-key")
    assert said.returncode == 2
    assert "TICKWHEEL_SECRET_KEYS has a wrong value (not shown)" in said.stderr
    assert "not-a-key" not in said.stderr


def test_settings_are_printed_as_a_table() -> None:
    assert "| `TICKWHEEL_PORT` | `8080` |" in tickwheel("settings").stdout


@pytest.mark.parametrize("command", ["migrate", "dev"])
def test_absent_server_is_said_in_one_line(command: str, tmp_path: Path) -> None:
    said = tickwheel(
        command,
        **SERVERS,
        TICKWHEEL_DATA_DIR=str(tmp_path / "data"),
        TICKWHEEL_PORT=str(free_port()),
        TICKWHEEL_WORKER_PORT="0",
    )
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("A server cannot be reached: ")
    assert "Traceback" not in said.stderr
