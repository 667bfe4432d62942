"""Log lines, as a collector would read them from a process."""

import json
import os
import subprocess
import sys
from typing import Any

TOKEN = "t" * 40


def lines_of(program: str, **settings: str) -> list[dict[str, Any]]:
    """Run a small program with logs configured and return what it wrote, decoded."""
    environment = {f"TICKWHEEL_{name}": value for name, value in settings.items()}
    prologue = (
        "import logging, os, structlog\n"
        "from app.config import load_settings\n"
        "from app.logs import configure_logs\n"
        "configure_logs(load_settings(os.environ), process='worker')\n"
        "log = structlog.get_logger('app.example')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", prologue + program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_line_is_json_with_time_level_process_and_fields() -> None:
    [line] = lines_of("log.info('Claimed runs.', count=3)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "process": "worker",
        "logger": "app.example",
        "event": "Claimed runs.",
        "count": 3,
    }


def test_bound_ids_appear_on_lines_of_libraries_too() -> None:
    [line] = lines_of(
        "from uuid import UUID\n"
        "with structlog.contextvars.bound_contextvars(run_id=UUID(int=1), schedule_id=UUID(int=2)):"
        "\n    logging.getLogger('some.library').warning('slow: %s', 'query')"
    )
    assert line["event"] == "slow: query"
    assert line["run_id"] == "00000000-0000-0000-0000-000000000001"
    assert line["schedule_id"] == "00000000-0000-0000-0000-000000000002"


def test_exception_is_one_line() -> None:
    [line] = lines_of("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('Failed.')")
    assert "ZeroDivisionError: division by zero" in line["exception"]


def test_lines_below_the_level_are_left_out() -> None:
    [line] = lines_of("log.info('quiet')\nlog.error('loud')", LOG_LEVEL="ERROR")
    assert line["event"] == "loud"


def test_chatty_libraries_are_heard_from_warnings_on() -> None:
    assert lines_of("logging.getLogger('arq.worker').info('cron ran')") == []


def test_secrets_are_struck_out_wherever_they_stand() -> None:
    [line] = lines_of(
        f"log.info('Sent {TOKEN}', url='redis://:hunter2@cache/0')",
        ADMIN_TOKEN=TOKEN,
        REDIS_URL="redis://:hunter2@cache/0",
    )
    assert line["event"] == "Sent [secret]"
    assert line["url"] == "redis://:[secret]@cache/0"


def test_console_format_is_for_people() -> None:
    program = (
        "import os, structlog\n"
        "from app.config import load_settings\n"
        "from app.logs import configure_logs\n"
        "configure_logs(load_settings(os.environ), process='api')\n"
        "structlog.get_logger('app').info('Ready.', port=8080)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TICKWHEEL_LOG_FORMAT": "console"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Ready." in ended.stderr
    assert "port=8080" in ended.stderr
