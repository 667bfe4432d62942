"""One seed: what is scheduled, what goes wrong, and whether every promise was kept."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from app.core.vocabulary import CatchUpPolicy, ChainOn, OnWorkerLost, OverlapPolicy, ResumeChoice
from tests.engine import Engine, add_chain, every
from tests.faults import invariants
from tests.faults.evidence import collect
from tests.faults.invariants import Violations
from tests.faults.journal import Change
from tests.faults.simulation.clock import EPOCH, Observer, VirtualLoop
from tests.faults.simulation.diary import Diary, Regular
from tests.faults.simulation.messages import Messages
from tests.faults.simulation.operating import resume
from tests.faults.simulation.process import LONGEST_DEATH_SECONDS, Process, SimulatedWorker
from tests.faults.witness import Line

LEASE_SECONDS, HEARTBEAT_SECONDS, SWEEP_SECONDS = 2.0, 0.7, 1.6
STORM_SECONDS = 6.0
# After the last fault: the sweep holds off for a lease, finds what a lease later is lost, and the
# longest job is tried once more, behind others of its schedule.
HEAL_SECONDS = 60.0
_HOUR = 3_600.0
_FAN_OUT_LIMIT = 2
_FIRST_PID = 1_000

# Emptied between two worlds, in an order that their references allow.
_TABLES = (
    *("witness.change", "attempt", "run_log", "run", "occurrence_override", "schedule_version"),
    *("schedule_counters", "schedule", "chain", "job", "worker", "event", "idempotency"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of schedule that a world may hold. `seconds` is the longest a run of it takes."""

    every_seconds: int
    seconds: float
    fails: float = 0.0
    schedule: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    # Whether chains lead on from its job.
    leads_on: bool = False


_RETRY = {"maxAttempts": 2, "initialDelaySeconds": 0.5, "jitter": 0}
KINDS = (
    Kind(1, 0.3, schedule={"overlap": OverlapPolicy.ALLOW}),
    Kind(
        2,
        2.5,
        fails=0.3,
        schedule={"overlap": OverlapPolicy.SKIP},
        job={"retry": _RETRY},
        leads_on=True,
    ),
    Kind(3, 2.0, schedule={"overlap": OverlapPolicy.QUEUE_ALL}, job={"concurrency_limit": 1}),
    Kind(2, 3.0, schedule={"overlap": OverlapPolicy.CANCEL_RUNNING}),
    Kind(
        3,
        3.5,
        schedule={"overlap": OverlapPolicy.ALLOW, "catch_up": CatchUpPolicy.ALL},
        job={"on_worker_lost": OnWorkerLost.FAIL},
    ),
    Kind(1, 1.5, schedule={"overlap": OverlapPolicy.ALLOW}, job={"concurrency_limit": 1}),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed. After a violation the story ends with the journal."""

    seed: int
    violations: Violations
    story: Sequence[str]
    runs: int
    crashes: int
    lost: int


class World:
    """Everything that is different from seed to seed."""

    def __init__(
        self,
        seed: int,
        engine: Engine,
        processes: Sequence[Process],
        loop: VirtualLoop,
        observer: Observer,
        *,
        is_calm: bool = False,
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.loop = loop
        self.observer = observer
        self.lease_seconds = LEASE_SECONDS
        self.deaths: dict[int, float] = {}
        self.lines: list[Line] = []
        self.story: list[str] = []
        self.is_over = False
        self.is_calm = is_calm
        self.diary = Diary()
        self._engine = engine
        self._processes = processes
        self._pids = _FIRST_PID
        self._changes: Sequence[Change] = ()
        workers = [one for one in processes if isinstance(one, SimulatedWorker)]
        self.messages = Messages(
            self.chance, lambda: [worker for worker in workers if worker.is_alive]
        )
        self.heal(is_calm)

    def heal(self, is_healed: bool = True) -> None:
        """From here on nothing goes wrong any more."""
        self.is_healed = self.messages.is_healed = is_healed

    @property
    def engine(self) -> Engine:
        """Return what reads and writes the tables without taking part."""
        return self._engine

    def next_pid(self) -> int:
        """Return a process id that none has had."""
        self._pids += 1
        return self._pids

    def tell(self, what: str) -> None:
        """Note something for whoever replays the seed."""
        self.story.append(f"{self.loop.time() % _HOUR:8.3f} {what}")

    async def run(self) -> Verdict:
        """Let it all happen, and judge it."""
        self.loop.jump(_HOUR - self.loop.time() % _HOUR)
        for table in _TABLES:
            await self._engine.rows(f"DELETE FROM {table}")
        await self._populate()
        for process in self._processes:
            process.enter(self)
        await asyncio.sleep(STORM_SECONDS)
        self.heal()
        self.tell("nothing goes wrong any more")
        due_until = await self._end_of_firing()
        violations = await self._judge(due_until)
        self.is_over = True
        for process in self._processes:
            await process.leave()
        return self._verdict(violations)

    def _verdict(self, violations: Violations) -> Verdict:
        attempts = {(line.run_id, line.attempt) for line in self.lines}
        return Verdict(
            self.seed,
            violations,
            self.story + ([str(change) for change in self._changes] if violations else []),
            runs=len({run_id for run_id, _ in attempts}),
            crashes=len(self.deaths),
            lost=sum(attempt > 1 for _, attempt in attempts),
        )

    async def _populate(self) -> None:
        now = self.loop.instant
        kinds = KINDS if self.is_calm else self.chance.sample(KINDS, k=4)
        for kind in kinds:
            job_id = await self._engine.job(
                config={"seconds": kind.seconds, "fails": kind.fails}, **kind.job
            )
            schedule_id = await self._engine.schedule(
                job_id,
                [every(kind.every_seconds, EPOCH)],
                cursor_at=now,
                next_run_at=now + timedelta(seconds=kind.every_seconds),
                **kind.schedule,
            )
            self.diary.regular[schedule_id] = Regular(kind.every_seconds, now)
            if kind.leads_on:
                await self._lead_on(job_id)

    async def _lead_on(self, job_id: UUID) -> None:
        """Chain jobs to one: some runs for each of its ends, and one run after each of these."""
        each, last, failure = [
            await self._engine.job(config={"seconds": 0.5, "fails": 0.2}) for _ in range(3)
        ]
        await add_chain(self._engine, job_id, each, fan_out="items", fan_out_limit=_FAN_OUT_LIMIT)
        await add_chain(self._engine, job_id, failure, after=ChainOn.FAILED)
        await add_chain(self._engine, each, last, after=ChainOn.ANY)

    async def _end_of_firing(self) -> datetime:
        """Let no schedule fire any more, once each has fired since all has healed."""
        await asyncio.sleep(LONGEST_DEATH_SECONDS + max(kind.every_seconds for kind in KINDS))
        while paused := await self._engine.rows("SELECT id FROM schedule WHERE state = 'PAUSED'"):
            for row in paused:
                await resume(self._engine.runtime, self, row["id"], ResumeChoice.SKIP)
        row = await self._engine.row("SELECT simulation.now() AS now")
        await self._engine.rows("UPDATE schedule SET next_run_at = NULL, state = 'COMPLETED'")
        end = self.loop.time() + HEAL_SECONDS
        while self.loop.time() < end:
            await asyncio.sleep(SWEEP_SECONDS)
            left = await self._engine.rows(
                "SELECT 1 FROM run WHERE state IN ('QUEUED', 'RUNNING') LIMIT 1"
            )
            if not left:
                break
        found: datetime = row["now"]
        return found

    async def _judge(self, due_until: datetime) -> Violations:
        evidence = await collect(self._engine, self.lines, self.deaths)
        self._changes = evidence.changes
        versions = await self._read_versions()
        found = invariants.broken(evidence) + invariants.all_over(evidence, due_until=due_until)
        for schedule_id, regular in self.diary.regular.items():
            until = evidence.cursors[schedule_id]
            if until < due_until - timedelta(seconds=2 * regular.seconds):
                found.append(f"I1: {schedule_id} has not been looked at since {until}")
            instants = self.diary.occurrences(schedule_id, versions[schedule_id], until)
            perhaps = self.diary.perhaps(schedule_id, until)
            found += invariants.complete(evidence, schedule_id, instants, perhaps=perhaps)
        found += invariants.nothing_withdrawn_starts(evidence, self.diary.withdrawn(due_until))
        if self.is_calm:
            alone = [
                schedule_id
                for schedule_id, kind in zip(self.diary.regular, KINDS, strict=True)
                if kind.schedule["overlap"] is OverlapPolicy.ALLOW and not kind.job
            ]
            found += invariants.on_time(evidence.of_schedules(alone), within_seconds=1.0)
        return found

    async def _read_versions(self) -> Mapping[UUID, list[Mapping[str, Any]]]:
        """Return when which edit came into force, and what it says."""
        found: defaultdict[UUID, list[Mapping[str, Any]]] = defaultdict(list)
        for row in await self._engine.rows(
            "SELECT schedule_id, at,"
            " snapshot->'timings'->0->'interval'->>'anchor' AS anchor"
            " FROM schedule_version WHERE change = 'UPDATED' ORDER BY schedule_id, sequence"
        ):
            found[row["schedule_id"]].append(row)
        return found
