"""Functions every instance has, for trying things out and for measuring the engine.

They run inline: nothing here may block.
"""

import asyncio
from typing import Any, Literal

from app.core.clock import elapsed_seconds
from app.core.vocabulary import RunState
from app.handlers.run_context import within
from tickwheel import RunContext, task


class FailedOnPurpose(Exception):
    """The job asked to fail."""


class CheckFailed(Exception):
    """What was checked is not as it should be."""


@task
async def noop(**parameters: Any) -> None:
    """Do nothing, whatever the parameters."""


@task
async def sleep(seconds: float = 1.0) -> None:
    """Take `seconds` of time and none of the processor."""
    await asyncio.sleep(seconds)


@task
async def fail(message: str = "This job fails on purpose.") -> None:
    """Fail with `message`."""
    raise FailedOnPurpose(message)


@task
async def echo(**parameters: Any) -> dict[str, Any]:
    """Return the parameters as the result."""
    return parameters


@task
async def http_check(
    context: RunContext,
    url: str,
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET",
    expect_status: list[str] | None = None,
    contains: str | None = None,
    at_most_milliseconds: int | None = None,
) -> dict[str, Any]:
    """Ask `url`, and fail unless it answers as expected: with a status, a text, in time.

    Without `expect_status` any from 200 to 299 will do. The text is looked for in what is kept of
    the answer: its first 64 kB.
    """
    config = {"url": url, "method": method, "expectStatus": expect_status or ["2xx"]}
    started = elapsed_seconds()
    answer = await within(context).request(config, {})
    milliseconds = round((elapsed_seconds() - started) * 1000)
    if answer.outcome.state is not RunState.SUCCEEDED:
        error = answer.outcome.error
        raise CheckFailed("It did not answer." if error is None else error.message)
    if contains is not None and contains not in answer.body:
        raise CheckFailed(f"The answer does not contain {contains!r}.")
    if at_most_milliseconds is not None and milliseconds > at_most_milliseconds:
        raise CheckFailed(f"It took {milliseconds} ms, and may take {at_most_milliseconds}.")
    return {"status": answer.outcome.http_status, "milliseconds": milliseconds}
