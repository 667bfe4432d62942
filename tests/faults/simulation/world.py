"""One seed: what is scheduled, what goes wrong, and whether every promise was kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from app.core.errors import TickwheelError
from app.core.vocabulary import (
    CatchUpPolicy,
    ChainOn,
    OnWorkerLost,
    OverlapPolicy,
    ResumeChoice,
    Role,
)
from app.services.access import Principal
from app.services.cancelling import cancel_run
from app.services.pausing import SYSTEM
from app.services.schedules.control import ResumeRequest, pause_schedule, resume_schedule
from app.services.triggering import trigger_schedule
from tests.engine import Engine, add_chain, every
from tests.faults import invariants
from tests.faults.evidence import collect, every_so_often
from tests.faults.invariants import Violations
from tests.faults.simulation.clock import EPOCH, Observer, VirtualLoop
from tests.faults.simulation.messages import Messages
from tests.faults.simulation.process import LONGEST_DEATH_SECONDS, Process, SimulatedWorker
from tests.faults.witness import Line

LEASE_SECONDS, HEARTBEAT_SECONDS, SWEEP_SECONDS = 3.0, 1.0, 2.5
STORM_SECONDS = 8.0
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
        3.5,
        fails=0.3,
        schedule={"overlap": OverlapPolicy.SKIP},
        job={"retry": _RETRY},
        leads_on=True,
    ),
    Kind(3, 2.5, schedule={"overlap": OverlapPolicy.QUEUE_ALL}, job={"concurrency_limit": 1}),
    Kind(2, 4.0, schedule={"overlap": OverlapPolicy.CANCEL_RUNNING}),
    Kind(
        4,
        5.0,
        schedule={"overlap": OverlapPolicy.ALLOW, "catch_up": CatchUpPolicy.ALL},
        job={"on_worker_lost": OnWorkerLost.FAIL},
    ),
    Kind(1, 1.5, schedule={"overlap": OverlapPolicy.ALLOW}, job={"concurrency_limit": 1}),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed."""

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
        self.regular: dict[UUID, tuple[int, datetime]] = {}
        self._engine = engine
        self._processes = processes
        self._pids = _FIRST_PID
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
            self.story,
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
            self.regular[schedule_id] = (kind.every_seconds, now)
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
                request = ResumeRequest(ResumeChoice.SKIP)
                await resume_schedule(
                    self._engine.runtime, principal_of(self._engine), row["id"], request
                )
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
        found = invariants.broken(evidence) + invariants.all_over(evidence, due_until=due_until)
        for schedule_id, (seconds, after) in self.regular.items():
            until = evidence.cursors[schedule_id]
            if until < due_until - timedelta(seconds=2 * seconds):
                found.append(f"I1: {schedule_id} has not been looked at since {until}")
            instants = every_so_often(seconds, anchor=EPOCH, after=after, until=until)
            found += invariants.complete(evidence, schedule_id, instants)
        if self.is_calm:
            alone = [
                schedule_id
                for schedule_id, kind in zip(self.regular, KINDS, strict=True)
                if kind.schedule["overlap"] is OverlapPolicy.ALLOW and not kind.job
            ]
            found += invariants.on_time(evidence.of_schedules(alone), within_seconds=1.0)
        return found


def principal_of(engine: Engine) -> Principal:
    """Return who operates."""
    return Principal(SYSTEM, Role.ADMIN, engine.project_id)


class Operator(Process):
    """Somebody who triggers, cancels, pauses and resumes, and whose process crashes as well."""

    async def live(self) -> None:
        """Do one thing after the other until the faults end."""
        acts = (self._trigger, self._cancel, self._pause, self._resume)
        while True:
            await asyncio.sleep(self.world.chance.uniform(0.2, 1.5))
            if not self.world.is_healed:
                await self._try(self.world.chance.choice(acts))

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (TickwheelError, OSError):
            # Refused, or gone: whoever asked would ask again.
            pass
        except Exception as error:
            self.world.tell(f"{self.name} could not {act.__name__}: {type(error).__name__}")

    def _choose(self) -> UUID:
        return self.world.chance.choice(list(self.world.regular))

    async def _trigger(self) -> None:
        principal = principal_of(self.world.engine)
        await trigger_schedule(self.runtime, principal, self._choose())

    async def _cancel(self) -> None:
        rows = await self.world.engine.rows(
            "SELECT id FROM run WHERE state IN ('QUEUED', 'RUNNING') ORDER BY due_at, id"
        )
        if rows:
            run_id = self.world.chance.choice(rows)["id"]
            await cancel_run(self.runtime, principal_of(self.world.engine), run_id)

    async def _pause(self) -> None:
        principal = principal_of(self.world.engine)
        await pause_schedule(self.runtime, principal, self._choose(), reason="By chance")

    async def _resume(self) -> None:
        choice = self.world.chance.choice((ResumeChoice.SKIP, ResumeChoice.ALL))
        await resume_schedule(
            self.runtime,
            principal_of(self.world.engine),
            self._choose(),
            ResumeRequest(choice),
        )
