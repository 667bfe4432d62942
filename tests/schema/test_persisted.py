"""Documents that a request names instead of sending them."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.asgi import build_application
from app.core.errors import InvalidInput
from tests.schema.api import Api, running_api, settings_for

JOBS = "query Jobs($n: Int) { jobs(first: $n) { nodes { key } } }"
CHANGE = 'mutation { jobArchive(id: "job_x") { errors { code } } }'
ID = f"sha256:{sha256(JOBS.encode()).hexdigest()}"


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Write two documents into a directory."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "jobs.graphql").write_text(JOBS)
    (tmp_path / "change.graphql").write_text(CHANGE)
    return tmp_path


async def post(api: Api, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    """Return status and answer."""
    headers = {"Authorization": f"Bearer {api.token}", **headers}
    async with api.http.post(api.url, json=body, headers=headers) as response:
        return response.status, await response.json()


def codes(answer: dict[str, Any]) -> list[str]:
    """Return the codes of an answer's errors."""
    return [error["extensions"]["code"] for error in answer["errors"]]


async def test_document_is_executed_by_its_hash_or_name_over_each_transport(
    database_url: str, redis_url: str, documents: Path
) -> None:
    settings = {"persisted_documents": documents, "persisted_only": True}
    async with running_api(database_url, redis_url, **settings) as api:
        expected: dict[str, Any] = {"jobs": {"nodes": []}}
        for named in (ID, "lists/jobs.graphql"):
            status, answer = await post(api, {"documentId": named, "variables": {"n": 1}})
            assert (status, answer["data"]) == (200, expected)
        bearer = {"Authorization": f"Bearer {api.token}"}
        async with api.http.get(api.url, params={"documentId": ID}, headers=bearer) as response:
            assert (await response.json())["data"] == expected
        params = {"documentId": "change.graphql"}
        async with api.http.get(api.url, params=params, headers=bearer) as response:
            assert response.status == 405
        stream = {**bearer, "Accept": "text/event-stream"}
        async with api.http.post(api.url, json={"documentId": ID}, headers=stream) as response:
            assert b'"jobs":{"nodes":[]}' in await response.content.read()
        async with api.socket() as socket:
            for payload, kind in (
                ({"documentId": ID}, "next"),
                ({"documentId": "sha256:0"}, "error"),
                ({"query": JOBS}, "error"),
            ):
                await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
                message = json.loads(await socket.recv())
                assert message["type"] == kind, message
                if kind == "next":
                    assert message["payload"]["data"] == expected
                    assert json.loads(await socket.recv())["type"] == "complete"


async def test_what_names_no_document_is_refused_with_a_code(
    database_url: str, redis_url: str, documents: Path
) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"documentId": "sha256:0"}, "PERSISTED_DOCUMENT_NOT_FOUND"),
        ({"documentId": ID, "query": JOBS}, "PERSISTED_DOCUMENT_AMBIGUOUS"),
        ({"documentId": 7}, "BAD_REQUEST"),
        ({}, "BAD_REQUEST"),
    ]
    strict = "application/graphql-response+json"
    async with running_api(database_url, redis_url, persisted_documents=documents) as api:
        for body, code in wrong:
            status, answer = await post(api, body, Accept=strict)
            assert (status, codes(answer)) == (400, [code])
            assert "data" not in answer
        assert (await post(api, {"query": JOBS}))[1]["data"] == {"jobs": {"nodes": []}}
    settings = {"persisted_documents": documents, "persisted_only": True}
    async with running_api(database_url, redis_url, **settings) as api:
        status, answer = await post(api, {"query": JOBS}, Accept=strict)
        assert (status, codes(answer)) == (400, ["PERSISTED_DOCUMENT_REQUIRED"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": "{ nothing }"}', "Cannot query field 'nothing'"),
        ('{"sha256:00": "{ __typename }"}', "another hash"),
        ('["{ __typename }"]', "must map"),
        ("{", "cannot be read"),
    ],
)
def test_documents_that_are_wrong_stop_the_start(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "persisted.json"
    path.write_text(content)
    settings = settings_for(
        "postgresql:///nowhere", "redis://127.0.0.1:1", persisted_documents=path
    )
    with pytest.raises(InvalidInput, match=words):
        build_application(settings)


def test_file_of_a_client_s_build_is_read(tmp_path: Path) -> None:
    path = tmp_path / "persisted.json"
    path.write_text(json.dumps({"f00": JOBS, ID: JOBS}))
    settings = settings_for(
        "postgresql:///nowhere", "redis://127.0.0.1:1", persisted_documents=path
    )
    build_application(settings)
