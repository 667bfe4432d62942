"""What a loop does with what went wrong."""

import asyncio

import pytest
import structlog

from app.worker.failures import note_failure

_log = structlog.get_logger(__name__)


async def loop_on_a_broken_connection(waits: asyncio.Event) -> None:
    """Go on for ever, as loops do; tidying up after a cancellation fails."""
    while True:
        try:
            try:
                waits.set()
                await asyncio.Event().wait()
            finally:
                raise ConnectionResetError("The connection is broken, too.")
        except Exception as error:
            note_failure(_log, "loop.failed", error)


async def test_a_loop_that_is_told_to_end_ends_though_an_error_hides_the_word() -> None:
    """Found by the simulation: the worker's task group waited for such a loop for ever.

    Made to fail by logging and going on, as for any other error.
    """
    waits = asyncio.Event()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(loop_on_a_broken_connection(waits))

    running = asyncio.create_task(run())
    await waits.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=10)
    assert done
    with pytest.raises(asyncio.CancelledError):
        await running
