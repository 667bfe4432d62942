"""`schedulerStatus`: now, then on change, at most once in an interval, and again when it is quiet.

Breaks that were tried: no wait between two messages, and none without a change.
"""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from app.schema.operations import streams
from tests.schema.api import Api

STATUS = 'subscription { schedulerStatus(minInterval: "PT0.5S") { serverTime activeSchedules } }'
MANY = 8


async def test_changes_are_folded_and_silence_is_broken(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In earnest it is longer than anybody waits here.
    monkeypatch.setattr(streams, "_AT_LEAST_EVERY", 2.0)
    job_id = await api.create_job()
    async with api.watching(STATUS) as messages:
        told = [await anext(messages)]
        for number in range(MANY):
            await api.create_schedule(job_id, f"s{number}")
        while told[-1]["activeSchedules"] < MANY:
            told.append(await anext(messages))
        # Nothing happens any more.
        told += [await anext(messages), await anext(messages)]
    assert told[-1]["activeSchedules"] == MANY
    instants = [datetime.fromisoformat(status["serverTime"]) for status in told]
    assert min(b - a for a, b in pairwise(instants)) >= timedelta(seconds=0.5)


@pytest.mark.parametrize("interval", ["PT0.05S", "PT16S"])
async def test_interval_that_is_too_short_or_too_long_is_refused(api: Api, interval: str) -> None:
    query = f'subscription {{ schedulerStatus(minInterval: "{interval}") {{ serverTime }} }}'
    with pytest.raises(AssertionError, match="minInterval lies between"):
        async with api.watching(query) as messages:
            await anext(messages)
