"""Send e-mail through the instance's mail server.

The operator names the server, so it is not a target to be guarded; people only name recipients.
"""

from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

import aiosmtplib

from app.handlers.certificates import trusted_certificates

_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in, as whom, and from whom it comes."""

    host: str
    port: int
    sender: str
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    # Certificates trusted besides the system's.
    ca_file: str | None = None


async def send_mail(server: MailServer, message: EmailMessage) -> None:
    """Hand a message in. Raises SMTPException, OSError or TimeoutError."""
    await aiosmtplib.send(
        message,
        hostname=server.host,
        port=server.port,
        username=server.user or None,
        password=server.password or None,
        use_tls=server.tls == "tls",
        start_tls=server.tls == "starttls",
        tls_context=trusted_certificates(server.ca_file),
        timeout=_TIMEOUT_SECONDS,
    )
