"""The watchdog of one process: is the instance alive?

It runs in every process and looks at PostgreSQL, not at itself, so that the death of all workers is
seen by the API, and that of the API by nobody but its users. PostgreSQL's clock measures every age;
this process's own clock is one of the things that are looked at.

Whoever has just started, was stopped, or could not reach PostgreSQL waits before it judges: so may
the others have been, and they need a moment to take up their work.
"""

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.core.clock import elapsed_seconds, utc_now
from app.core.health import Observation, judge_clock, judge_instance
from app.core.vocabulary import FindingCode
from app.models import HealthFinding
from app.runtime import Runtime
from app.services.health.findings import INSTANCE_CODES, FindingEvent, settle_findings
from app.store.database import ReadConnection
from app.store.findings import note_seen, read_open_findings
from app.store.health import read_clock, read_instance_facts

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 3.0
# A clock is seen by the processes of its machine only; when the last of them is gone, so is the
# finding, after this. It is seen again every third of it.
_UNSEEN_AFTER = timedelta(minutes=3)
_log = structlog.get_logger(__name__)


class Watchdog:
    """The looks of one process. `clock` is what this machine believes.

    `clock_offset` is by how much that was ahead of PostgreSQL at the last look.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        clock: Callable[[], datetime] = utc_now,
        host: str | None = None,
        look_seconds: float = _LOOK_SECONDS,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._host = host or socket.gethostname()
        self.clock_offset: timedelta | None = None
        self._look_seconds = look_seconds
        self._grace_seconds = grace_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        not_before = elapsed_seconds() + self._grace_seconds
        looked_at = elapsed_seconds()
        while True:
            await asyncio.sleep(self._look_seconds)
            if elapsed_seconds() - looked_at > self._grace_seconds:
                # This process stood still: whoever stopped it may have stopped the others.
                not_before = elapsed_seconds() + self._grace_seconds
            looked_at = elapsed_seconds()
            if looked_at < not_before:
                continue
            try:
                await self.look()
            except Exception as error:  # A watchdog that dies watches nothing.
                _log.warning("watchdog.failed", error=repr(error)[:300])
                not_before = elapsed_seconds() + self._grace_seconds

    async def look(self) -> list[FindingEvent]:
        """Judge the instance and this machine's clock once; return what that has changed."""
        async with self._runtime.database.reading(None) as connection:
            facts = await read_instance_facts(
                connection, lease_seconds=self._runtime.intervals.lease_seconds
            )
            standing = await read_open_findings(
                connection, codes=(*INSTANCE_CODES, FindingCode.CLOCK_SKEW)
            )
            skew = await self._look_at_clock(connection)
        observed = judge_instance(facts)
        if skew is not None:
            observed.append(skew)
        judged = [each for each in standing if self._can_judge(each, facts.as_of)]
        await self._note_skew(skew, judged, facts.as_of)
        return await settle_findings(self._runtime, observed=observed, standing=judged)

    async def _look_at_clock(self, connection: ReadConnection) -> Observation | None:
        """Compare the clocks, allowing for half of the round trip; it may be all on one way."""
        began_at = elapsed_seconds()
        before = self._clock()
        theirs = await read_clock(connection)
        half = timedelta(seconds=(elapsed_seconds() - began_at) / 2)
        offset = before + half - theirs
        self.clock_offset = offset
        self._runtime.metrics.clock_offset.set(offset.total_seconds())
        return judge_clock(offset, half, host=self._host, as_of=theirs)

    def _can_judge(self, finding: HealthFinding, as_of: datetime) -> bool:
        """Return whether this process can tell that a finding is over."""
        if finding.code is not FindingCode.CLOCK_SKEW or finding.subject == self._host:
            return True
        return as_of - finding.seen_at > _UNSEEN_AFTER

    async def _note_skew(
        self, skew: Observation | None, judged: list[HealthFinding], as_of: datetime
    ) -> None:
        if skew is None:
            return
        due = [
            finding.id
            for finding in judged
            if (finding.code, finding.subject) == (skew.code, skew.subject)
            and as_of - finding.seen_at > _UNSEEN_AFTER / 3
        ]
        if due:
            async with self._runtime.database.transaction() as transaction:
                await note_seen(transaction, due)
