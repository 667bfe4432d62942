"""Bring stored next instants to this worker's zone rules, beside its loops, once after its start.

Firing does not wait for it: a tick plans by the rules of its own process anyway.
"""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.runtime import Runtime
from app.services.zones import apply_zone_rules

_RETRY_SECONDS = 5.0
_log = structlog.get_logger(__name__)


async def follow_zone_rules(runtime: Runtime) -> None:
    """Apply the installed rules; while PostgreSQL is away, try again."""
    while True:
        try:
            await apply_zone_rules(runtime)
            return
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("zones.unavailable", error=str(error))
        except Exception:
            _log.exception("zones.failed")
            return
        await asyncio.sleep(_RETRY_SECONDS)
