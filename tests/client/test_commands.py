"""What people type: lists, one thing, triggers, pauses, logs, tokens, and how refusals look.

The tests share one instance, each with jobs and schedules of its own.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from app.client.resources import RESOURCES
from tests.client.conftest import Shell
from tests.live_instance import LiveInstance

pytestmark = pytest.mark.asyncio(loop_scope="package")

LEAP_DAY = "0 0 29 2 *"


async def test_lists_are_filtered_searched_and_written_as_asked(
    instance: LiveInstance, shell: Shell
) -> None:
    job = await instance.api.create_job("listed", tags=[{"key": "team", "value": "ops"}])
    tags = [{"key": "team", "value": "ops"}]
    await instance.api.create_schedule(job, "list-one", cron=LEAP_DAY, tags=tags)
    await instance.api.create_schedule(job, "list-two", cron="0 0 28 2 *", timezone="Asia/Tokyo")

    table = await shell.tickwheel("get", "schedules", "--job", "listed", "--tz", "Europe/Berlin")
    assert table.code == 0
    assert table.stdout.splitlines()[0].split()[:2] == ["KEY", "STATE"]
    assert "2028-02-29 01:00:00 +01:00" in table.line("list-one")
    assert "ACTIVE" in table.line("list-two")
    assert "\x1b" not in table.stdout

    found = await shell.tickwheel("get", "schedule", "--tag", "team=ops", "-o", "json")
    assert [each["key"] for each in found.data] == ["list-one"]
    found = await shell.tickwheel("get", "schedules", "--search", "tw list", "-o", "yaml")
    assert [each["key"] for each in yaml.safe_load(found.stdout)] == ["list-two"]
    limited = await shell.tickwheel(
        "get", "schedules", "--job", "listed", "--limit", "1", "-o", "json"
    )
    assert len(limited.data) == 1
    assert "--limit" in limited.stderr


@pytest.mark.parametrize("what", RESOURCES)
async def test_everything_can_be_listed(shell: Shell, what: str) -> None:
    said = await shell.tickwheel("get", what, "--limit", "5")
    assert said.code == 0, said
    assert said.stdout or said.stderr == f"No {what}.\n"


async def test_a_trigger_takes_parameters_and_waits_and_repeats_safely(
    instance: LiveInstance, shell: Shell
) -> None:
    echo = {"function": "app.handlers.builtin.echo"}
    job = await instance.api.create_job("echo", config=echo, parameters={"day": 1, "dry": False})
    await instance.api.create_schedule(job, "echoing", cron=LEAP_DAY)

    waited = await shell.tickwheel(
        "trigger", "echoing", "-p", "day=2", "-p", "name=Ada", "--wait",
        "--idempotency-key", "order-1",
    )  # fmt: skip
    assert waited.code == 0, waited
    assert json.loads(waited.stdout) == {"day": 2, "dry": False, "name": "Ada"}
    assert "SUCCEEDED" in waited.stderr

    again = await shell.tickwheel(
        "trigger", "echoing", "--parameters", "-", "--idempotency-key", "order-1", "-o", "json",
        stdin='{"day": 2, "name": "Ada"}',
    )  # fmt: skip
    assert again.data["id"] in waited.stderr
    assert "before" in again.stderr
    other = await shell.tickwheel("trigger", "echoing", "--idempotency-key", "order-1")
    assert other.code == 1
    assert other.stderr.startswith("error: IDEMPOTENCY_CONFLICT")


async def test_a_run_that_fails_ends_the_one_who_waits_with_3(
    instance: LiveInstance, shell: Shell
) -> None:
    await instance.api.create_job("failing", config={"function": "app.handlers.builtin.fail"})
    said = await shell.tickwheel(
        "trigger", "--job", "failing", "-p", "message=on purpose", "--wait"
    )
    assert said.code == 3
    assert "FAILED" in said.stderr
    assert "on purpose" in said.stderr


@pytest.fixture
def gate() -> Iterator[Path]:
    """Where a file may appear that commands can see, whoever they run as."""
    directory = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory / "gate"
    shutil.rmtree(directory)


async def test_a_log_is_followed_to_its_end_through_a_cut_connection(
    instance: LiveInstance, shell: Shell, gate: Path
) -> None:
    """Fails if a watch does not resume behind its last cursor: `first` is printed twice."""
    script = f"echo first; until [ -e {gate} ]; do sleep 0.05; done; echo last"
    config = {"argv": ["sh", "-c", script]}
    await instance.api.create_job("talking", kind="COMMAND", config=config)
    async with shell.going_on("trigger", "--job", "talking", "--follow") as command:
        assert await command.line() == "first"
        assert instance.door.slam() == 1
        await asyncio.to_thread(gate.touch)
        said = await command.end()
    assert said.code == 0, said
    assert said.stdout.splitlines()[:2] == ["first", "last"]
    assert "connecting again" in said.stderr


async def test_a_finished_log_is_printed_as_it_was_written(
    instance: LiveInstance, shell: Shell
) -> None:
    config = {"argv": ["sh", "-c", "echo one; echo two >&2"]}
    job = await instance.api.create_job("printing", kind="COMMAND", config=config)
    await instance.api.create_schedule(job, "printing", cron=LEAP_DAY)
    assert (await shell.tickwheel("trigger", "printing", "--wait")).code == 0

    said = await shell.tickwheel("logs", "--schedule", "printing")
    assert {"one", "two"} < set(said.stdout.splitlines())
    lines = (await shell.tickwheel("logs", "--schedule", "printing", "-f", "-o", "json")).stdout
    assert {json.loads(line)["stream"] for line in lines.splitlines()} > {"stdout", "stderr"}


async def test_a_pause_has_a_reason_and_a_resume_its_plan(
    instance: LiveInstance, shell: Shell
) -> None:
    job = await instance.api.create_job("pausing")
    await instance.api.create_schedule(job, "pausing", cron="* * * * * *", overlap="ALLOW")
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    said = await shell.tickwheel("pause", "pausing", "--reason", "It moves", "--until", end)
    assert said.code == 0, said
    assert said.stdout.startswith("pausing is paused until ")

    described = await shell.tickwheel("describe", "schedule", "pausing")
    assert "PAUSED" in described.line("State")
    assert "It moves" in described.line("Reason")

    async with asyncio.timeout(30):
        plan = await shell.tickwheel("resume", "pausing", "--plan", "-o", "json")
        while plan.data["SKIP"]["missed"] < 2:
            plan = await shell.tickwheel("resume", "pausing", "--plan", "-o", "json")
    assert len(plan.data["LATEST"]["wouldRun"]) == 1
    assert len(plan.data["ALL"]["wouldRun"]) >= 2
    assert "record what was missed" in (await shell.tickwheel("resume", "pausing", "--plan")).stdout

    said = await shell.tickwheel("resume", "pausing", "--missed", "skip")
    assert said.stdout.startswith("pausing fires again, next at ")
    paused = await shell.tickwheel("pause", "pausing", "--reason", "enough", "-o", "json")
    assert paused.data["state"] == "PAUSED"


async def test_describe_says_when_how_and_why_not(instance: LiveInstance, shell: Shell) -> None:
    job = await instance.api.create_job("described")
    await instance.api.create_schedule(
        job, "described", cron="30 2 * * *", timezone="Europe/Berlin", description="At night"
    )
    schedule = await shell.tickwheel(
        "describe", "schedule", "described", "--at", "2020-01-01T00:00+01:00"
    )
    assert schedule.code == 0, schedule
    assert "(30 2 * * *)" in schedule.line("When")
    assert "Next occurrences" in schedule.stdout
    assert "BEFORE_CREATION" in schedule.stdout
    data = await shell.tickwheel("describe", "schedule", "described", "-o", "json")
    assert data.data["description"] == "At night"
    assert "whyNot" not in data.data
    assert "described" in (await shell.tickwheel("describe", "job", "described")).line("Job")

    run_id = (await shell.tickwheel("trigger", "described")).stdout.strip()
    run = await shell.tickwheel("describe", "run", run_id)
    assert run_id in run.line("Run")
    assert "MANUAL" in run.line("Cause")


async def test_watching_shows_what_is_and_then_each_change(
    instance: LiveInstance, shell: Shell
) -> None:
    job = await instance.api.create_job("watched")
    await instance.api.create_schedule(job, "watched", cron=LEAP_DAY)
    async with shell.going_on("get", "schedules", "--job", "watched", "--watch") as watching:
        assert (await watching.line()).startswith("KEY")
        assert "ACTIVE" in await watching.line()
        instance.door.slam()
        assert (await shell.tickwheel("pause", "watched", "--reason", "x")).code == 0
        assert "watched" in await watching.line(lambda line: "PAUSED" in line)
        assert (await watching.interrupt()).code == 130
    async with shell.going_on("get", "runs", "--job", "watched", "-w", "-o", "json") as watching:
        assert json.loads(await watching.line())["__typename"] == "RunSnapshot"
        assert (await shell.tickwheel("trigger", "watched", "--force")).code == 0
        change = json.loads(await watching.line(lambda line: "RunChange" in line))
        assert change["run"]["schedule"]["key"] == "watched"


async def test_a_token_is_made_used_and_taken_back(shell: Shell) -> None:
    made = await shell.tickwheel("token", "create", "reporting", "--role", "viewer")
    assert made.code == 0, made
    secret = made.stdout.strip()
    assert secret not in made.stderr
    assert (await shell.tickwheel("get", "jobs", TICKWHEEL_TOKEN=secret)).code == 0
    refused = await shell.tickwheel("token", "list", TICKWHEEL_TOKEN=secret)
    assert (refused.code, refused.stderr[:16]) == (1, "error: FORBIDDEN")

    listed = await shell.tickwheel("token", "list", "-o", "json")
    [token] = [each for each in listed.data if each["name"] == "reporting"]
    assert (await shell.tickwheel("token", "revoke", token["id"])).code == 0
    refused = await shell.tickwheel("get", "jobs", TICKWHEEL_TOKEN=secret)
    assert (refused.code, refused.stderr[:22]) == (1, "error: UNAUTHENTICATED")
    assert "TICKWHEEL_TOKEN" in refused.stderr
    refused = await shell.tickwheel("get", "runs", "--watch", TICKWHEEL_TOKEN=secret)
    assert refused.code == 1
    assert "TICKWHEEL_TOKEN" in refused.stderr


async def test_a_definition_is_validated_as_it_would_be_saved(
    instance: LiveInstance, shell: Shell
) -> None:
    await instance.api.create_job("validated")
    good = {
        "job": "validated",
        "key": "nightly",
        "fields": {
            "timings": [{"cron": {"expression": "30 2 * * *"}}],
            "timezone": "Europe/Berlin",
        },
    }
    said = await shell.tickwheel("validate", "--file", "-", stdin=yaml.safe_dump(good))
    assert said.code == 0, said
    assert "valid: It could be saved." in said.stdout
    assert "DST_" in said.stderr
    bad = good | {"fields": {"timings": [{"cron": {"expression": "61 * * * *"}}]}}
    said = await shell.tickwheel("validate", "--file", "-", stdin=json.dumps(bad))
    assert said.code == 1
    assert said.stderr.startswith("error: INVALID (fields.timings.0.cron.expression)")


async def test_the_doctor_looks_from_inside_and_from_outside(
    instance: LiveInstance, shell: Shell
) -> None:
    outside = await shell.tickwheel("doctor", "-o", "json")
    grades = {each["check"]: each["grade"] for each in outside.data}
    assert grades.keys() >= {"API", "PostgreSQL", "Redis", "worker", "handlers"}
    assert "fail" not in grades.values()

    inside = await shell.tickwheel(
        "doctor",
        TICKWHEEL_DATABASE_URL=instance.database_url,
        TICKWHEEL_REDIS_URL=instance.redis_url,
    )
    assert inside.code == 0, inside
    for check in ("PostgreSQL", "tables", "clock", "worker", "ticker", "Redis", "API"):
        assert inside.line(check).startswith("ok"), inside


async def test_the_doctor_says_what_to_do(shell: Shell) -> None:
    said = await shell.tickwheel(
        "doctor",
        TICKWHEEL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        TICKWHEEL_REDIS_URL="redis://127.0.0.1:1/0",
    )
    assert said.code == 1
    assert said.line("PostgreSQL").startswith("fail")
    assert "is TICKWHEEL_DATABASE_URL right?" in said.stdout
    said = await shell.tickwheel("doctor", TICKWHEEL_PORT="http")
    assert said.code == 1
    assert "TICKWHEEL_PORT is 'http'" in said.stdout
