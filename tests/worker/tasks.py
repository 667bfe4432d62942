"""Functions that let out what they should not."""

import base64
import json
import logging
import sys
from urllib.parse import quote

from tests.spellings import as_said
from tickwheel import RunContext, task


def _say(context: RunContext, token: str) -> dict[str, str]:
    """Say a secret in every way that programs have."""
    encoded = base64.b64encode(f"user:{token}".encode()).decode()
    print(f"plain {token}, basic {encoded}")
    print(f"url {quote(token, safe='')}, json {json.dumps(token)}", file=sys.stderr)
    for spelling, text in as_said(token).items():
        print(f"as {spelling}: {text}")
        context.log.info("as %s: %s", spelling, text)
        # Across the place where a long line is cut.
        print("." * (16 * 1024 - len(text) // 2) + text)
    print(f"no line end {token}", end="")
    context.log.warning("logged %s", token)
    logging.getLogger(__name__).error("by logging %s", token)
    context.progress(0.5, f"half of {token}")
    return {"token": token, "encoded": encoded, token: "as a key"}


@task
async def leak(context: RunContext, token: str, fails: bool = False) -> dict[str, str]:
    """Leak a secret, and then fail over it or return it."""
    said = _say(context, token)
    if fails:
        raise ValueError(f"the server refused {token}")
    return said


@task
def leak_blocking(context: RunContext, token: str, fails: bool = False) -> dict[str, str]:
    """Do the same as a plain function."""
    said = _say(context, token)
    if fails:
        raise ValueError(f"the server refused {token}")
    return said
