"""Time that stands still while anything happens, and jumps when nothing does.

The event loop's clock is a number. It moves only when no callback is ready and no answer of
PostgreSQL is awaited: then it jumps to the next timer. An exchange that waits for a lock is not
waited for; PostgreSQL itself is asked which those are. So what goes wrong, and when, follows from
the seed, whatever the machine is busy with, and so do all ids.

A seed told again has the same story as long as nobody waits for a lock and no two answers are on
their way at once. Then PostgreSQL decides which of the two comes first, and from there on chance is
drawn in another order: most seeds are told again nearly the same, none exactly for certain. That is
why a violation prints the journal of every write with its seed.

PostgreSQL's clock follows: a schema before `pg_catalog` on the search path defines `now()` and its
relatives, so that the unchanged statements read the simulated instant.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_POLL_SECONDS = 0.005
_MOST_POLLS = 1_000

_SIMULATED = """
CREATE SCHEMA simulation;
CREATE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT cast(current_setting('simulation.at') AS timestamptz) $$;
CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT simulation.now() $$;
CREATE FUNCTION simulation.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT simulation.now() $$;
CREATE FUNCTION simulation.transaction_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT simulation.now() $$;
CREATE FUNCTION simulation.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT timestamptz '2024-01-01 00:00:00+00' $$;
DO $$
DECLARE stamped record;
BEGIN
    FOR stamped IN SELECT table_name, column_name FROM information_schema.columns
                    WHERE table_schema = 'public' AND column_default = 'now()'
    LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET DEFAULT simulation.now()',
                       stamped.table_name, stamped.column_name);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I SET search_path = simulation, pg_catalog, public',
                   current_database());
    EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''20ms''', current_database());
    EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan',
                   current_database());
END $$;
"""


async def simulate_clock(database_url: str) -> None:
    """Let every later connection to this database read the simulated clock."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_SIMULATED)
    finally:
        await connection.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time."""

    def __init__(self, observer: "Observer") -> None:
        self._now = 0.0
        self._observer = observer
        # Whose answer is awaited: back ends by their process id, or anything else.
        self.awaited: set[Any] = set()
        # Of those, the ones that wait for a lock: they are not waited for.
        self.blocked: set[Any] = set()
        # Of whom nothing was heard for so long that something is wrong with them.
        self.given_up: set[Any] = set()
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the simulated time, in seconds."""
        return self._now

    @property
    def instant(self) -> datetime:
        """Return the simulated instant."""
        return EPOCH + timedelta(seconds=self._now)

    def jump(self, seconds: float) -> None:
        """Move the clock on. Nobody may be waiting."""
        self._now += seconds

    def must_wait(self) -> bool:
        """Return whether an answer will come by itself. Asks PostgreSQL who waits for a lock."""
        self.blocked &= self.awaited
        self.given_up &= self.awaited
        if self.blocked and not self.awaited - self.blocked - self.given_up:
            self.find_blocked()
        return bool(self.awaited - self.blocked - self.given_up)

    def find_blocked(self) -> None:
        """Ask PostgreSQL which of the awaited wait for a lock."""
        pids = [one for one in self.awaited if isinstance(one, int)]
        self.blocked = self._observer.waiting_for_locks(pids) if pids else set()


class _Selector(selectors.DefaultSelector):
    """Waits for real answers, and only for them; instead of sleeping it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what is ready, or move the clock to the next timer and return nothing."""
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        polls = 0
        while self._loop.must_wait():
            if events := super().select(_POLL_SECONDS):
                return events
            self._loop.find_blocked()
            if (polls := polls + 1) >= _MOST_POLLS:
                self._loop.given_up |= self._loop.awaited
        if timeout is None:
            # No timer is left. Whoever waits for a lock is freed by the detector of deadlocks.
            return super().select(_POLL_SECONDS)
        self._loop.jump(timeout)
        return []


class Observer:
    """A connection of the simulation's own, on a thread and in real time."""

    def __init__(self, database_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: Any = self._wait_for(lambda: asyncpg.connect(database_url))

    def waiting_for_locks(self, pids: Iterable[int]) -> set[Any]:
        """Return those back ends that wait for a lock at this moment."""
        query = (
            "SELECT pid FROM unnest($1::integer[]) AS asked (pid)"
            " WHERE cardinality(pg_blocking_pids(pid)) > 0"
        )
        rows = self._wait_for(lambda: self._connection.fetch(query, list(pids)))
        return {row["pid"] for row in rows}

    def terminate(self, pids: Iterable[int]) -> None:
        """End back ends, and return when they are gone and their transactions rolled back."""
        query = "SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::integer[]) AS gone (pid)"
        self._wait_for(lambda: self._connection.fetch(query, list(pids)))

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._wait_for(self._connection.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, make: Callable[[], Any]) -> Any:
        async def act() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(timeout=60)
