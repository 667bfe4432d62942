"""Whatever is asked of the API, it answers in its own words: no 5xx, and no fault of ours.

schemathesis makes operations from the schema, the same ones each time, and they go to an API
process with something in every list. A fault would come masked, as `INTERNAL`; here it fails.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.graphql import nodes

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from tests.documents import ROOT
from tests.faults.nursery import Nursery
from tests.journey.processes import free_ports, until_ready
from tests.schema.api import ADMIN_TOKEN, running_api

EXAMPLES = 4
# Words of what must not get out: Python's, SQLAlchemy's, PostgreSQL's.
INSIDES = re.compile(r"Traceback|sqlalchemy|asyncpg|object at 0x|\.py\b|SELECT |INSERT |UPDATE ")
INSTANTS = st.sampled_from(
    [
        "2027-03-28T01:30:00Z",
        "2026-01-01T00:00:00+02:00",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
    ]
)
SCALARS = {
    "DateTime": INSTANTS,
    "LocalDateTime": st.sampled_from(["2027-03-28T02:30:00", "0001-01-01T00:00:00", "2027-13-01"]),
    "Duration": st.sampled_from(["PT5M", "P1D", "PT0S", "P999999999D", "PT0.000001S", "P1M"]),
    "TimeZone": st.sampled_from(["Europe/Berlin", "UTC", "America/St_Johns", "../etc/passwd"]),
    "Cursor": st.sampled_from(["", "0", "x", "1:2:3"]),
}
for scalar, texts in SCALARS.items():
    schemathesis.graphql.scalar(scalar, texts.map(nodes.String))
schemathesis.graphql.scalar(
    "JSON",
    st.one_of(
        st.none().map(lambda _: nodes.Null),
        st.integers(-(2**70), 2**70).map(nodes.Int),
        st.text(max_size=20).map(nodes.String),
        st.booleans().map(nodes.Boolean),
    ),
)
SCHEMA = schemathesis.graphql.from_path(ROOT / "schema.graphql")
OPERATIONS = {
    found.ok().label: found.ok()
    for found in SCHEMA.get_all_operations()
    if isinstance(found, Ok) and not found.ok().label.startswith("Subscription")
}


@dataclass(frozen=True)
class Desk:
    """An API process, and the ids of what it has."""

    url: str
    ids: dict[str, str]

    def known(self, document: str) -> str:
        """Return a document in which two of three ids are those of something that is there."""
        turns = cycle((True, True, False))
        subject = re.search(r"\{\s*(job|schedule|run|backfill|calendar)", document)

        def put(match: re.Match[str]) -> str:
            kind = match["kind"].removesuffix("Id") or (subject[1] if subject else "schedule")
            known = self.ids.get(kind)
            return f'{match["kind"]}{match["id"]}: "{known}"' if known and next(turns) else match[0]

        return re.sub(
            r'\b(?P<kind>[a-z]*(?=Id:|\bid:))(?P<id>Id|id): (?:"(?:[^"\\]|\\.)*"|-?\d+)',
            put,
            document,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    postgres: EmbeddedPostgres, nursery: Nursery, services_directory: Path
) -> AsyncIterator[Desk]:
    redis = EmbeddedRedis(services_directory / "redis-anything")
    await redis.start()
    database_url = await postgres.create_database("anything", template="tickwheel")
    try:
        ids = await _something_in_every_list(database_url, redis.url)
        [port] = free_ports(1)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = kept | {
            "TICKWHEEL_DATABASE_URL": database_url,
            "TICKWHEEL_REDIS_URL": redis.url,
            "TICKWHEEL_ADMIN_TOKEN": ADMIN_TOKEN,
            "TICKWHEEL_PORT": str(port),
        }
        log = services_directory / "anything.log"
        pid, end = await asyncio.to_thread(nursery.launch, environment, log, command=("api",))
        try:
            await until_ready(port)
            yield Desk(f"http://127.0.0.1:{port}/graphql", ids)
        finally:
            os.kill(pid, signal.SIGKILL)
            await asyncio.wrap_future(end)
    finally:
        await redis.stop()
        await postgres.drop_database("anything")


async def _something_in_every_list(database_url: str, redis_url: str) -> dict[str, str]:
    async with running_api(database_url, redis_url) as api:
        job = await api.create_job("seeded", tags=[{"key": "team", "value": "ops"}])
        other = await api.create_job("other")
        schedule = await api.create_schedule(
            job, "seeded", cron="30 2 * * *", timezone="Europe/Berlin"
        )
        made = await api.data(
            """
            mutation ($schedule: ID!, $job: ID!, $other: ID!, $from: DateTime!, $at: DateTime!) {
              scheduleTrigger(input: { id: $schedule }) { run { id } }
              calendarPut(input: { key: "days", name: "Days", dates: ["2027-12-24"] }) {
                calendar { id }
              }
              chainPut(input: { jobId: $job, targetId: $other }) { chain { id } }
              endpointPut(input: { key: "there", baseUrl: "https://example.org" }) {
                endpoint { id }
              }
              templatePut(input: { key: "own", name: "Own", defaults: {} }) { template { id } }
              apiTokenCreate(input: { name: "seeded", role: VIEWER }) { token { id } }
              backfillStart(input: { scheduleId: $schedule, from: $from, until: $from }) {
                backfill { id }
              }
              occurrenceOverride(
                input: { scheduleId: $schedule, at: $at, action: SKIP, reason: "x" }
              ) { schedule { id } }
            }
            """,
            schedule=schedule["id"],
            job=job,
            other=other,
            at="2027-07-01T00:30:00Z",
            **{"from": "2026-11-01T01:30:00Z"},
        )
    return {
        "job": job,
        "target": other,
        "schedule": str(schedule["id"]),
        "run": made["scheduleTrigger"]["run"]["id"],
        "calendar": made["calendarPut"]["calendar"]["id"],
        "template": made["templatePut"]["template"]["id"],
        "backfill": made["backfillStart"]["backfill"]["id"],
    }


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_api_answers_in_its_own_words(desk: Desk, label: str) -> None:
    """Fails for a resolver that raises what is no error of ours (tried: `1 / 0` in `schedules`)."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=OPERATIONS[label].as_strategy())
    def ask(case: Any) -> None:
        case.body = desk.known(case.body)
        response = case.call(
            base_url=desk.url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=30
        )
        assert response.status_code < 500, case.body
        answer = json.loads(response.content)
        for error in answer.get("errors", ()):
            assert error.get("extensions", {}).get("code") != "INTERNAL", (error, case.body)
            assert not INSIDES.search(error["message"]), (error, case.body)

    ask()
