"""Judge the answer to an HTTP job, and keep what is of use: capped, into the log and the result."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from app.core.clock import utc_now
from app.core.vocabulary import FailureReason, LogLevel, RunState
from app.handlers.execution import SUCCEEDED, Failure, Outcome, RunOutput
from app.handlers.http_config import HttpConfig
from app.handlers.json_path import at_path
from app.handlers.options import HandlerOptions
from app.handlers.output_text import LineWriter, ResultRefused, clean, storable_result

_CHUNK = 64 * 1024
# Of what a client is told about itself, only these may be otherwise a moment later.
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})


async def judge(
    config: HttpConfig,
    response: aiohttp.ClientResponse,
    output: RunOutput,
    options: HandlerOptions,
) -> Outcome:
    """Read an answer to its end, or as far as it is kept, and say what it means."""
    body, is_whole = await _read(response, options)
    _log_body(body, is_whole, response, output, options)
    if not config.expects(response.status):
        return _unexpected(response)
    result = _result(body, is_whole, response, config, output, options)
    return Outcome(SUCCEEDED.state, result=result, http_status=response.status)


def is_final_status(status: int) -> bool:
    """Return whether trying again would only get the same answer.

    It does not where the server has failed, was too busy, or asks to come back.
    """
    return status < 500 and status not in _WORTH_ANOTHER_TRY


def retry_after_seconds(header: str | None, *, as_of: datetime) -> float | None:
    """Return how long the other side asks us to wait: seconds, or an HTTP date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        seconds = float(header)
        return seconds if math.isfinite(seconds) else None
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - as_of).total_seconds(), 0.0)


async def _read(response: aiohttp.ClientResponse, options: HandlerOptions) -> tuple[bytes, bool]:
    """Read as much of the body as can be of use; say whether that was all."""
    limit = max(options.http_log_bytes, options.http_result_bytes)
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            # Not drained for reuse: there may be no end to it.
            response.close()
            return bytes(body[:limit]), False
    return bytes(body), True


def _log_body(
    body: bytes,
    is_whole: bool,
    response: aiohttp.ClientResponse,
    output: RunOutput,
    options: HandlerOptions,
) -> None:
    kept = body[: options.http_log_bytes]
    if b"\0" in kept and not _is_text(response):
        output.write(f"{len(body)} bytes of {response.content_type}", stream="log")
        return
    lines = LineWriter(output, "stdout")
    lines.feed(_as_utf8(kept, response.charset))
    is_cut = len(kept) < len(body) or not is_whole
    lines.finish(is_cut=is_cut)
    if is_cut:
        output.write(f"… only {len(kept)} bytes of the answer are kept", stream="log")


def _result(
    body: bytes,
    is_whole: bool,
    response: aiohttp.ClientResponse,
    config: HttpConfig,
    output: RunOutput,
    options: HandlerOptions,
) -> Any:
    """Return the JSON of the answer, or the part that `resultPath` names.

    What cannot be had is a warning, not a failure: the request has had its effect.
    """
    if not _is_json(response) or not body:
        return None
    if not is_whole:
        return _no_result(output, "it is too large")
    try:
        value = at_path(orjson.loads(body), config.result_path)
        return storable_result(value, limit_bytes=options.http_result_bytes)
    except (orjson.JSONDecodeError, ResultRefused, LookupError) as error:
        return _no_result(output, str(error))


def _no_result(output: RunOutput, why: str) -> None:
    output.write(
        f"The answer is not kept as the result: {why}.", stream="log", level=LogLevel.WARNING
    )


def _unexpected(response: aiohttp.ClientResponse) -> Outcome:
    failure = Failure(
        FailureReason.ERROR,
        f"Http{response.status}",
        f"It answered {response.status} {clean(response.reason or '')}".strip() + ".",
        retry_after_seconds=retry_after_seconds(
            response.headers.get("Retry-After"), as_of=utc_now()
        ),
        is_final=is_final_status(response.status),
    )
    return Outcome(RunState.FAILED, error=failure, http_status=response.status)


def _as_utf8(body: bytes, charset: str | None) -> bytes:
    try:
        return body.decode(charset or "utf-8", "replace").encode("utf-8", "replace")
    except LookupError:
        return body


def _is_json(response: aiohttp.ClientResponse) -> bool:
    kind = response.content_type
    return kind == "application/json" or kind.endswith("+json")


def _is_text(response: aiohttp.ClientResponse) -> bool:
    return _is_json(response) or response.content_type.startswith("text/")
