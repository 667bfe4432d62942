"""A process that holds embedded services, for tests to kill.

    python -m tests.dev.service_host DIRECTORY [--promise-nothing]

Prints one line of JSON once both answer, then waits for ever. With `--promise-nothing` the
services are not told when this process dies, as on a kernel that cannot do that.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from app.dev import child
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from tests.dev.processes import become_user


async def main(directory: Path) -> None:
    """Start both services and wait."""
    postgres, redis = EmbeddedPostgres(directory / "postgres"), EmbeddedRedis(directory / "redis")
    await asyncio.gather(postgres.start(), redis.start())
    print(json.dumps({"postgres": postgres.pid, "redis": redis.pid, "uid": os.getuid()}))
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "--promise-nothing" in sys.argv:
        child._libc = None
    become_user()
    asyncio.run(main(Path(sys.argv[1])))
