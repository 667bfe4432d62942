"""How a secret may be written, by means other than the code under test."""

import base64
import json
import urllib.parse


def spellings(secret: str) -> dict[str, str]:
    """Return each spelling by its name; of base64 what no neighbour changes."""
    encoded = secret.encode()
    aligned = {
        f"base64 at {before}": base64.b64encode(b"x" * before + encoded).decode()[4:-4]
        for before in range(3)
    }
    return {
        "plain": secret,
        "url": urllib.parse.quote(secret, safe=""),
        "form": urllib.parse.quote_plus(secret),
        "json": json.dumps(secret)[1:-1],
        "utf-8 json": json.dumps(secret, ensure_ascii=False)[1:-1],
        "json in json": json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "hex": encoded.hex(),
        "repr": repr(secret)[1:-1],
        **aligned,
    }


def as_said(secret: str) -> dict[str, str]:
    """Return the same, but base64 as a whole: with the characters that its neighbours change."""
    return spellings(secret) | {
        f"base64 at {before}": base64.b64encode(b"x" * before + secret.encode()).decode()
        for before in range(3)
    }
