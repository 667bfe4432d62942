"""Somebody who operates the instance while everything goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from app.core.errors import TickwheelError
from app.core.vocabulary import ResumeChoice, Role
from app.runtime import Runtime
from app.services.access import Principal
from app.services.cancelling import cancel_run
from app.services.pausing import SYSTEM
from app.services.schedules.control import ResumeRequest, pause_schedule, resume_schedule
from app.services.schedules.definition import IntervalRequest, ScheduleFields
from app.services.schedules.editing import update_schedule_definition
from app.services.triggering import trigger_schedule
from tests.engine import Engine
from tests.faults.simulation.clock import EPOCH
from tests.faults.simulation.process import Process

if TYPE_CHECKING:
    from tests.faults.simulation.world import World


def principal_of(engine: Engine) -> Principal:
    """Return who operates."""
    return Principal(SYSTEM, Role.ADMIN, engine.project_id)


class Operator(Process):
    """Triggers, cancels, pauses, resumes and edits; this process crashes as well."""

    async def live(self) -> None:
        """Do one thing after the other until the faults end."""
        acts = (self._trigger, self._cancel, self._pause, self._resume, self._edit)
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
        return self.world.chance.choice(list(self.world.diary.regular))

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
        schedule_id, principal = self._choose(), principal_of(self.world.engine)
        await pause_schedule(self.runtime, principal, schedule_id, reason="By chance")
        self.world.diary.note_pause(schedule_id, self.loop.instant)

    async def _resume(self) -> None:
        choice = self.world.chance.choice((ResumeChoice.SKIP, ResumeChoice.ALL))
        await resume(self.runtime, self.world, self._choose(), choice)

    async def _edit(self) -> None:
        """Move the instants by half a second, or back."""
        schedule_id = self._choose()
        phase = timedelta(seconds=self.world.chance.choice((0.0, 0.5)))
        regular = self.world.diary.regular[schedule_id]
        every = IntervalRequest(timedelta(seconds=regular.seconds), EPOCH + phase)
        with self.world.diary.editing(schedule_id, phase, lambda: self.loop.instant) as edited:
            await update_schedule_definition(
                self.runtime,
                principal_of(self.world.engine),
                schedule_id,
                ScheduleFields(timings=(every,)),
                expected_version=None,
            )
            edited.confirm()


async def resume(runtime: Runtime, world: "World", schedule_id: UUID, choice: ResumeChoice) -> None:
    """Let a schedule go on."""
    world.diary.note_resume(schedule_id, world.loop.instant)
    principal = principal_of(world.engine)
    await resume_schedule(runtime, principal, schedule_id, ResumeRequest(choice))
