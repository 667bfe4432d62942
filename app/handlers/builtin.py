"""Functions every instance has, for trying things out and for measuring the engine.

They run inline: nothing here may block.
"""

import asyncio
from typing import Any

from tickwheel import task


class FailedOnPurpose(Exception):
    """The job asked to fail."""


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
