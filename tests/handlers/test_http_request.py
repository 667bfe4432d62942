"""Requests made from templates, references, signatures; what comes of their answers.

Breaks that were tried: values are not encoded in a path; a reference is not the template of its
secret; a redirect keeps the headers that hold secrets; 404 is tried again.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.core.redaction import Redaction
from app.core.vocabulary import FailureReason, JobKind, RunState
from app.handlers.certificates import trusted_certificates
from app.handlers.execution import Outcome
from app.handlers.options import HandlerOptions
from app.handlers.registry import validate_config
from tests.certificates import certificate_for
from tests.handlers.conftest import RecordedOutput
from tests.handlers.test_http_job import answer, answer_ok, redirect, send, serving

SECRETS = {"crm": "hunter22", "braces": "{{ run.id }} {% x %}"}


async def send_with_secrets(
    config: dict[str, Any], output: RecordedOutput, **changes: Any
) -> Outcome:
    changes.setdefault("secrets", SECRETS)
    changes.setdefault("redaction", Redaction(SECRETS.values()))
    return await send(config, output, **changes)


async def test_every_part_of_a_request_is_filled_in(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        config = {
            "url": f"{server.origin}/days/{{{{ parameters.day }}}}",
            "query": {"run": "{{ run.id }}", "at": "{{ run.scheduledDate }}"},
            "headers": {"X-Attempt": "no. {{ run.attempt }}"},
            "json": {"n": "{{ parameters.n }}", "text": "{{ parameters.n }} items", "fix": [1]},
        }
        outcome = await send(config, output, parameters={"day": "a/b?c", "n": 3})
    assert outcome.state is RunState.SUCCEEDED
    _, path, headers, body = server.requests[0]
    assert path.startswith("/days/a%2Fb%3Fc?run=run_")
    assert path.endswith("at=2026-03-29")
    assert headers["X-Attempt"] == "no. 1"
    # A value that is all of a text keeps its type.
    assert json.loads(body) == {"n": 3, "text": "3 items", "fix": [1]}


async def test_a_form_is_sent_encoded(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        form = {"a b": "{{ parameters.x }}", "n": 1}
        await send({"url": server.origin, "form": form}, output, parameters={"x": "1&b=2"})
    assert server.requests[0][3] == b"a+b=1%26b%3D2&n=1"
    assert server.requests[0][2]["Content-Type"] == "application/x-www-form-urlencoded"


async def test_the_host_may_come_from_a_parameter_when_no_secret_is_sent(
    output: RecordedOutput,
) -> None:
    async with serving(answer_ok) as server:
        config = {"url": "{{ parameters.base }}/x/{{ parameters.y }}"}
        await send(config, output, parameters={"base": f"{server.origin}/api", "y": "1/2"})
        config = {"url": "http://{{ parameters.host }}/x?y={{ parameters.y }}"}
        host = server.origin.removeprefix("http://")
        await send(config, output, parameters={"host": host, "y": "1&2"})
    assert [path for _, path, _, _ in server.requests] == ["/api/x/1%2F2", "/x?y=1%262"]


@pytest.mark.parametrize("value", ["..", "."])
async def test_a_value_does_not_climb_in_a_path(value: str, output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        config = {"url": f"{server.origin}/a/{{{{ parameters.x }}}}/b"}
        outcome = await send(config, output, parameters={"x": value})
    assert outcome.error is not None
    assert outcome.error.type == "TemplateFailed"
    assert server.requests == []


async def test_a_value_splits_no_header(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        config = {"url": server.origin, "headers": {"X-A": "{{ parameters.x }}"}}
        outcome = await send(config, output, parameters={"x": "a\r\nX-Evil: 1"})
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED
    assert server.requests == []


async def test_a_parameter_that_is_missing_is_told_by_name(output: RecordedOutput) -> None:
    outcome = await send({"url": "http://127.0.0.1/{{ parameters.day }}"}, output)
    assert outcome.error is not None
    assert "'day'" in outcome.error.message


async def test_secrets_are_filled_in_as_they_are(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        config = {
            "url": server.origin,
            "headers": {"Authorization": "Bearer {{ secrets.crm }}", "X-Key": {"secret": "crm"}},
            "json": {"deep": [{"secret": "braces"}]},
        }
        await send_with_secrets(config, output)
    _, _, headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer hunter22"
    assert headers["X-Key"] == "hunter22"
    assert json.loads(body) == {"deep": [SECRETS["braces"]]}


async def test_secrets_do_not_follow_a_redirect_to_another_host(output: RecordedOutput) -> None:
    async with serving(answer_ok) as target, serving(redirect(target.origin)) as server:
        headers = {"X-Key": "k={{ secrets.crm }}", "X-Other": "1"}
        await send_with_secrets({"url": server.origin, "headers": headers, "sign": "crm"}, output)
    assert server.requests[0][2]["X-Key"] == "k=hunter22"
    followed = target.requests[0][2]
    assert "X-Other" in followed
    assert not {"X-Key", "webhook-signature"} & set(followed)


async def test_a_body_with_a_secret_is_not_sent_on_to_another_host(output: RecordedOutput) -> None:
    async with serving(answer_ok) as target, serving(redirect(target.origin, 307)) as server:
        config = {"url": server.origin, "json": {"token": {"secret": "crm"}}}
        outcome = await send_with_secrets(config, output)
        assert target.requests == []
        assert outcome.error is not None
        assert outcome.error.reason is FailureReason.REJECTED
        elsewhere = await send_with_secrets({"url": server.origin, "json": {"a": 1}}, output)
    assert elsewhere.state is RunState.SUCCEEDED


# -- Signatures


async def test_a_signed_request_can_be_verified_by_the_standard_webhooks_scheme(
    output: RecordedOutput,
) -> None:
    """The check is written here from the specification, not with the code under test."""
    key = b"0123456789abcdef0123456789abcdef"
    secrets = {"hook": "whsec_" + base64.b64encode(key).decode(), "plain": "a plain secret"}
    async with serving(answer_ok) as server:
        for name in secrets:
            config = {"url": server.origin, "json": {"é": 1}, "sign": name}
            await send(config, output, secrets=secrets, redaction=Redaction(secrets.values()))
    for (_, _, headers, body), used in zip(server.requests, (key, b"a plain secret"), strict=True):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(used, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["webhook-id"] == headers["Tickwheel-Run"]


@pytest.mark.parametrize("secrets", [{}, {"hook": "whsec_not base64!"}])
async def test_a_request_that_cannot_be_signed_is_not_sent(
    secrets: dict[str, str], output: RecordedOutput
) -> None:
    async with serving(answer_ok) as server:
        outcome = await send({"url": server.origin, "sign": "hook"}, output, secrets=secrets)
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED
    assert server.requests == []


# -- What is tried again


@pytest.mark.parametrize(
    ("status", "is_final"),
    {
        400: True,
        401: True,
        404: True,
        422: True,
        408: False,
        425: False,
        429: False,
        500: False,
        503: False,
        599: False,
        # An answer that was not expected, and would be the same.
        204: True,
        304: True,
    }.items(),
)
async def test_the_class_of_a_status_says_whether_another_try_may_help(
    status: int, is_final: bool, output: RecordedOutput
) -> None:
    async with serving(answer(status=status)) as server:
        outcome = await send({"url": server.origin, "expectStatus": ["201"]}, output)
    assert outcome.error is not None
    assert outcome.error.is_final is is_final


async def test_a_connection_that_is_refused_may_be_tried_again(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        pass
    outcome = await send({"url": server.origin}, output)
    assert outcome.error is not None
    assert not outcome.error.is_final


async def test_a_request_has_its_own_total_time_out(output: RecordedOutput) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"a")

    async with serving(trickle) as server:
        config = {"url": server.origin, "timeout": {"total": 0.2}}
        outcome = await send(config, output, options={"http_log_bytes": 10**12})
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert "within 0.2 s" in outcome.error.message


def test_certificates_of_a_file_are_trusted_besides_those_of_the_system(tmp_path: Path) -> None:
    """Fails when the file takes the place of the system's authorities."""
    file, _ = certificate_for("own.test", tmp_path)
    system = trusted_certificates(None).cert_store_stats()["x509_ca"]
    assert trusted_certificates(str(file)).cert_store_stats()["x509_ca"] == system + 1


def test_a_template_in_a_host_is_not_mistaken_for_one() -> None:
    validate_config(
        JobKind.HTTP, {"url": "https://{{ parameters.host }}:8443/x"}, options=HandlerOptions()
    )
