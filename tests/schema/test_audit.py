"""Who did what can be read, and it shows when somebody meddled with the record."""

import asyncio
import sys
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.vocabulary import Role
from app.services.access import issue_token
from app.services.auditing import seal_audit
from app.store.instants import read_now
from tests.schema.api import Api

AUDIT = """query($first: Int, $after: String, $subject: ID, $action: String, $at: TimeFilter) {
    audit(first: $first, after: $after, subjectId: $subject, action: $action, at: $at) {
        pageInfo { hasNextPage endCursor }
        nodes { id at actor { kind name } action subjectId subjectKind summary requestId
                changes { path before after } } } }"""
VERIFY = "{ auditVerify { ok entries unsealed firstBadId head } }"


async def entries(api: Api, **variables: Any) -> list[dict[str, Any]]:
    """Return one page of the audit."""
    nodes: list[dict[str, Any]] = (await api.data(AUDIT, **variables))["audit"]["nodes"]
    return nodes


async def verification(api: Api) -> dict[str, Any]:
    """Seal what there is, and verify."""
    await seal_audit(api.runtime)
    found: dict[str, Any] = (await api.data(VERIFY))["auditVerify"]
    return found


async def meddle(api: Api, statement: str) -> None:
    """Do what only the owner of the tables can: work around the triggers."""
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("SET LOCAL session_replication_role = replica"))
        await transaction.execute(text(statement))


async def test_every_accepted_mutation_leaves_one_entry(api: Api) -> None:
    job_id = await api.create_job("first")
    await api.create_schedule(job_id, "nightly", cron="0 3 * * *")
    await api.ask('mutation { jobArchive(id: "job_00") { errors { code } } }')
    schedule_entry, job_entry = await entries(api)
    assert (job_entry["action"], job_entry["subjectId"]) == ("jobCreate", job_id)
    assert job_entry["actor"] == {"kind": "TOKEN", "name": "admin"}
    assert schedule_entry["action"] == "scheduleCreate"
    assert schedule_entry["requestId"] != job_entry["requestId"]


async def test_entries_are_found_by_subject_action_and_time(api: Api) -> None:
    first, second = await api.create_job("first"), await api.create_job("second")
    [of_second] = await entries(api, subject=second)
    assert of_second["subjectId"] == second
    assert len(await entries(api, action="jobCreate")) == 2
    assert await entries(api, action="jobArchive") == []
    assert await entries(api, at={"lt": of_second["at"]}, subject=second) == []
    [newest] = await entries(api, first=1)
    page = await api.data(AUDIT, first=1)
    [oldest] = await entries(api, first=1, after=page["audit"]["pageInfo"]["endCursor"])
    assert (newest["subjectId"], oldest["subjectId"]) == (second, first)


async def test_audit_takes_an_administrator_of_the_project(api: Api) -> None:
    await api.create_job("first")
    async with api.runtime.database.transaction() as transaction:
        project_id = (await transaction.execute(text("SELECT id FROM project"))).scalar_one()
        row, token = issue_token(
            name="editor",
            role=Role.EDITOR,
            project_id=project_id,
            created_at=await read_now(transaction),
        )
        transaction.add(row)
    api.token = token
    for query in (AUDIT, VERIFY):
        [error] = (await api.ask(query))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"


async def test_whole_audit_verifies_and_its_head_moves_with_each_entry(api: Api) -> None:
    empty = await verification(api)
    assert empty == {
        "ok": True,
        "entries": 0,
        "unsealed": 0,
        "firstBadId": None,
        "head": "00" * 32,
    }
    await api.create_job("first")
    unsealed = (await api.data(VERIFY))["auditVerify"]
    assert (unsealed["ok"], unsealed["entries"], unsealed["unsealed"]) == (True, 0, 1)
    sealed = await verification(api)
    assert (sealed["ok"], sealed["entries"], sealed["unsealed"]) == (True, 1, 0)
    assert sealed["head"] != empty["head"]


async def test_changed_removed_and_slipped_in_entries_are_noticed(api: Api) -> None:
    """Without the walk over the links each of these would go unnoticed."""
    for key in ("first", "second", "third"):
        await api.create_job(key)
    assert (await verification(api))["ok"]
    third, second, first = await entries(api)
    is_second = f"id = '{second['id'].removeprefix('audit_')}'"

    await meddle(api, f"UPDATE audit SET summary = summary || '!' WHERE {is_second}")
    changed = await verification(api)
    assert (changed["ok"], changed["firstBadId"], changed["entries"]) == (False, second["id"], 1)
    await meddle(api, f"UPDATE audit SET summary = rtrim(summary, '!') WHERE {is_second}")
    assert (await verification(api))["ok"]

    await meddle(
        api,
        "INSERT INTO audit (id, actor, action, subject_kind, summary, changes)"
        " SELECT gen_random_uuid(), actor, 'x', subject_kind, summary, changes FROM audit LIMIT 1",
    )
    slipped_in = await verification(api)
    assert not slipped_in["ok"]
    assert slipped_in["firstBadId"] not in {first["id"], second["id"], third["id"]}
    await meddle(api, "DELETE FROM audit WHERE action = 'x'")

    await meddle(api, f"DELETE FROM audit WHERE {is_second}")
    assert (await verification(api))["firstBadId"] == second["id"]


async def test_cut_off_end_is_noticed_by_a_head_noted_before(api: Api, database_url: str) -> None:
    await api.create_job("first")
    await api.create_job("second")
    head = (await verification(api))["head"]
    assert await run_verify(database_url, "--head", head) == 0
    await meddle(api, "DELETE FROM audit WHERE id = (SELECT max(id::text)::uuid FROM audit)")
    await meddle(api, "DELETE FROM audit_seal WHERE position = 2")
    assert await run_verify(database_url) == 0
    assert await run_verify(database_url, "--head", head) == 1
    assert await run_verify(database_url, "--head", "not a head") == 2


async def test_workers_that_seal_at_the_same_time_make_one_chain(api: Api) -> None:
    for number in range(20):
        await api.create_job(f"job-{number}")
    sealed = await asyncio.gather(*(seal_audit(api.runtime) for _ in range(5)))
    assert sum(sealed) == 20
    assert (await verification(api))["entries"] == 20


async def test_entries_and_seals_cannot_be_edited(api: Api) -> None:
    await api.create_job("first")
    await seal_audit(api.runtime)
    for table in ("audit", "audit_seal"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(DBAPIError, match="append-only"):
                async with api.runtime.database.transaction() as transaction:
                    await transaction.execute(text(statement))


async def run_verify(database_url: str, *arguments: str) -> int:
    """Run the command as an operator would, and return its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        "audit",
        "verify",
        *arguments,
        env={"TICKWHEEL_DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"},
    )
    return await process.wait()
