"""Somebody who uses Tickwheel through pip `gql`: creates, reads, steers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gql import gql
from gql.client import AsyncClientSession

from tests.clients.gql_client import http_client
from tests.dev.processes import PATIENCE_SECONDS

Record = dict[str, Any]
UNFINISHED = ("QUEUED", "RUNNING")

RUN = """
id state reason cause attempt maxAttempts revision scheduledFor rangeEnd rangeCount
startedAt finishedAt parameters result error { reason message }
attempts { number state worker error { reason message } } worker { pid } schedule { id key }
"""
ERRORS = "errors { code message path }"


class Visitor:
    """One caller of one instance."""

    def __init__(self, session: AsyncClientSession) -> None:
        self._session = session

    async def ask(self, document: str, **variables: Any) -> Record:
        """Return the data of an operation; gql raises what fails."""
        request = gql(document)
        request.variable_values = variables
        return await self._session.execute(request)

    async def change(self, field: str, input_type: str, given: Record, selection: str) -> Record:
        """Return the payload of a mutation that must be accepted."""
        document = f"""mutation($input: {input_type}!) {{
            {field}(input: $input) {{ {selection} {ERRORS} }} }}"""
        payload: Record = (await self.ask(document, input=given))[field]
        assert payload["errors"] == [], payload
        return payload

    async def create_job(self, key: str, kind: str, config: Record, **more: Any) -> str:
        """Create a job and return its id."""
        given = {"key": key, "kind": kind, "config": config, **more}
        payload = await self.change("jobCreate", "JobCreateInput", given, "job { id }")
        return str(payload["job"]["id"])

    async def create_schedule(self, job_id: str, key: str, cron: str, **fields: Any) -> str:
        """Create a schedule in Europe/Berlin and return its id."""
        timings = [{"cron": {"expression": cron}}]
        given = {
            "jobId": job_id,
            "key": key,
            "fields": {"timings": timings, "timezone": "Europe/Berlin", **fields},
        }
        payload = await self.change(
            "scheduleCreate", "ScheduleCreateInput", given, "schedule { id state }"
        )
        assert payload["schedule"]["state"] == "ACTIVE"
        return str(payload["schedule"]["id"])

    async def every_second(self, job_id: str, key: str, **fields: Any) -> str:
        """Create a schedule that is due each second; no run waits for another."""
        return await self.create_schedule(
            job_id, key, "* * * * * *", **{"overlap": "ALLOW", **fields}
        )

    async def pause(self, schedule_id: str, reason: str = "seen enough") -> Record:
        """Pause a schedule and return it."""
        given = {"id": schedule_id, "reason": reason}
        selection = "schedule { state stateReason pausedAt nextRunAt }"
        payload = await self.change("schedulePause", "SchedulePauseInput", given, selection)
        return dict(payload["schedule"])

    async def resume(self, schedule_id: str) -> Record:
        """Resume a schedule and return it."""
        selection = "schedule { state nextRunAt }"
        given = {"id": schedule_id}
        payload = await self.change("scheduleResume", "ScheduleResumeInput", given, selection)
        return dict(payload["schedule"])

    async def trigger(self, schedule_id: str, parameters: Record | None = None) -> Record:
        """Trigger a schedule by hand and return the run."""
        given = {"id": schedule_id, "parameters": parameters}
        payload = await self.change(
            "scheduleTrigger", "ScheduleTriggerInput", given, f"run {{ {RUN} }}"
        )
        return dict(payload["run"])

    async def settled(self, schedule_id: str) -> list[Record]:
        """Pause a schedule and return its runs when the last has ended."""
        await self.pause(schedule_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while _any_unfinished(runs := await self.runs(schedule_id)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return runs

    async def now(self) -> str:
        """Return the server's clock."""
        return str((await self.ask("{ scheduler { serverTime } }"))["scheduler"]["serverTime"])

    async def run(self, run_id: str) -> Record:
        """Return a run with its log."""
        document = f"query($id: ID!) {{ run(id: $id) {{ {RUN} log {{ nodes {{ text }} }} }} }}"
        return dict((await self.ask(document, id=run_id))["run"])

    async def runs(self, schedule_id: str) -> list[Record]:
        """Return every run of a schedule in the order of their occurrences, page by page."""
        document = f"""query($id: ID!, $after: String) {{
            runs(first: 100, after: $after, filter: {{ scheduleId: $id }},
                 orderBy: {{ field: SCHEDULED_FOR, direction: ASC }}) {{
                nodes {{ {RUN} }} pageInfo {{ hasNextPage endCursor }} }} }}"""
        found: list[Record] = []
        page: Record = {"endCursor": None, "hasNextPage": True}
        while page["hasNextPage"]:
            answer = await self.ask(document, id=schedule_id, after=page["endCursor"])
            found += answer["runs"]["nodes"]
            page = answer["runs"]["pageInfo"]
        return found


def _any_unfinished(runs: list[Record]) -> bool:
    return any(run["state"] in UNFINISHED for run in runs)


@asynccontextmanager
async def visiting(url: str, token: str) -> AsyncIterator[Visitor]:
    """A visitor for as long as the block lasts."""
    async with http_client(url, token) as session:
        yield Visitor(session)
