"""Sign a request by the Standard Webhooks scheme, so that its receiver knows who sent it.

The message id is the run's, the same in each attempt: a receiver that has seen it does nothing.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

_PREFIX = "whsec_"


class KeyUnusable(ValueError):
    """The secret cannot be a signing key."""


def signature_headers(secret: str, *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers. A `whsec_…` secret is base64 of the key, any other the key itself.

    Raises KeyUnusable.
    """
    timestamp = str(int(at.timestamp()))
    content = b".".join([message_id.encode(), timestamp.encode(), body])
    digest = hmac.new(_key(secret.strip()), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise KeyUnusable("The signing secret begins with whsec_, but no base64 follows.") from None
