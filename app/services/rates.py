"""How often a caller may ask: requests and mutations a minute, and a burst within one second.

A minute's permits are shared by all API processes. Each takes them from Redis in small blocks and
spends them by itself, so that most requests wait for nobody; what it has not spent after a few
seconds is lost. Never more are spent than there are, and at most a block a process fewer. The burst
is counted by each process for itself: it protects the process.

While Redis is away each process counts for itself (open), or nobody is let in (closed).
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

import structlog
from redis.exceptions import RedisError

from app.broker.permits import PermitStore
from app.core.clock import elapsed_seconds

_BLOCKS_A_MINUTE = 100
_LEASE_SECONDS = 5.0
_REFUSED_SECONDS = 0.5
_AWAY_SECONDS = 1.0
_MOST_ACCOUNTS = 20_000
_log = structlog.get_logger(__name__)


class Rate(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    MUTATIONS = "mutations"
    STRANGERS = "strangers"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much is allowed; 0 is without limit."""

    requests: int
    mutations: int
    burst: int
    strangers: int
    is_open_without_redis: bool

    def per_minute(self, rate: Rate) -> int:
        """Return how many are allowed a minute."""
        match rate:
            case Rate.REQUESTS:
                return self.requests
            case Rate.MUTATIONS:
                return self.mutations
            case Rate.STRANGERS:
                return self.strangers


class TooMany(Exception):
    """The caller asked too often. No `TickwheelError`: it is answered before any input."""

    def __init__(self, standing: "Standing", words: str) -> None:
        super().__init__(f"At most {words}: try again in {standing.reset_seconds} s.")
        self.standing = standing


class RatesUnknown(Exception):
    """Redis is away, and nobody is let in without it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left to a caller: permits, and in how many seconds some come back."""

    limit: int
    remaining: int
    reset_seconds: int


class _Account:
    """What this process has of one caller's permits of one kind."""

    __slots__ = (
        "burst_began",
        "burst_left",
        "lease_ends",
        "lock",
        "permits",
        "refused_until",
        "remaining",
        "reset_at",
        "window_began",
        "window_spent",
    )

    def __init__(self) -> None:
        self.permits = 0
        self.lease_ends = 0.0
        self.refused_until = 0.0
        self.remaining = 0
        self.reset_at = 0.0
        self.burst_began = 0.0
        self.burst_left = 0
        # For the time without Redis.
        self.window_began = 0.0
        self.window_spent = 0
        self.lock = asyncio.Lock()


class Rates:
    """Counts for one process."""

    def __init__(self, store: PermitStore, limits: RateLimits) -> None:
        self._store = store
        self._limits = limits
        self._accounts: OrderedDict[tuple[Rate, str], _Account] = OrderedDict()
        self._away_until = 0.0

    async def spend(self, rate: Rate, whose: str) -> Standing | None:
        """Spend one permit, and return what is left; None is without limit.

        Raises `TooMany`, or `RatesUnknown`.
        """
        per_minute = self._limits.per_minute(rate)
        if not per_minute:
            return None
        now = elapsed_seconds()
        account = self._account(rate, whose)
        if rate is Rate.REQUESTS and self._limits.burst:
            self._spend_burst(account, now)
        if not account.permits or account.lease_ends <= now:
            async with account.lock:
                # Another request may have leased a block in the meantime.
                now = elapsed_seconds()
                if not account.permits or account.lease_ends <= now:
                    await self._lease(account, rate, whose, now)
        account.permits -= 1
        return self._standing(account, per_minute, now)

    def _account(self, rate: Rate, whose: str) -> _Account:
        key = (rate, whose)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account()
            if len(self._accounts) > _MOST_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(key)
        return account

    def _spend_burst(self, account: _Account, now: float) -> None:
        if now - account.burst_began >= 1.0:
            account.burst_began = now
            account.burst_left = self._limits.burst
        if account.burst_left <= 0:
            standing = Standing(self._limits.burst, 0, 1)
            raise TooMany(standing, f"{self._limits.burst:,} requests within a second are allowed")
        account.burst_left -= 1

    async def _lease(self, account: _Account, rate: Rate, whose: str, now: float) -> None:
        per_minute = self._limits.per_minute(rate)
        if now < account.refused_until:
            raise self._too_many(account, rate, now)
        if now < self._away_until:
            self._lease_alone(account, rate, now)
            return
        name = f"{rate}:{whose}"
        block = max(1, per_minute // _BLOCKS_A_MINUTE)
        try:
            granted = block
            if not await self._store.take(name, per_minute=per_minute, count=block):
                granted = int(await self._store.take(name, per_minute=per_minute, count=1))
            left = await self._store.left(name, per_minute=per_minute)
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("rates.redis_away", error=str(error))
            self._away_until = elapsed_seconds() + _AWAY_SECONDS
            self._lease_alone(account, rate, now)
            return
        account.remaining = left.permits
        account.reset_at = now + left.reset_seconds
        if not granted:
            account.refused_until = now + _REFUSED_SECONDS
            raise self._too_many(account, rate, now)
        account.permits = granted
        account.lease_ends = now + _LEASE_SECONDS

    def _lease_alone(self, account: _Account, rate: Rate, now: float) -> None:
        if not self._limits.is_open_without_redis:
            raise RatesUnknown
        if now - account.window_began >= 60:
            account.window_began, account.window_spent = now, 0
        account.reset_at = account.window_began + 60
        account.remaining = self._limits.per_minute(rate) - account.window_spent
        if account.remaining <= 0:
            raise self._too_many(account, rate, now)
        account.window_spent += 1
        account.permits, account.lease_ends = 1, now + _LEASE_SECONDS
        account.remaining -= 1

    def _too_many(self, account: _Account, rate: Rate, now: float) -> TooMany:
        per_minute = self._limits.per_minute(rate)
        words = "failed attempts" if rate is Rate.STRANGERS else rate.value
        standing = Standing(per_minute, 0, max(1, round(account.reset_at - now)))
        return TooMany(standing, f"{per_minute:,} {words} a minute are allowed")

    def _standing(self, account: _Account, per_minute: int, now: float) -> Standing:
        return Standing(
            per_minute,
            account.remaining + account.permits,
            max(1, round(account.reset_at - now)),
        )
