"""How the server speaks WebSocket: bounded messages, no compression, pings, and nobody who is deaf.

A ping stands behind all that was sent before it. Whoever does not get to it in time does not read,
or is gone, and is cut off: closing politely would wait for them to read first, holding on to all
that is theirs.
"""

import socket
from asyncio import BaseTransport
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LARGEST_MESSAGE_BYTES = 128_000
PING_SECONDS = 20.0
_UNREAD_BYTES = 128 * 1024


class SocketProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what the kernel holds for a peer who does not read: it would take megabytes."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)

    def start_keepalive(self) -> None:
        """Begin to ping: the handshake is over, and what it took is let go."""
        super().start_keepalive()
        del self.request, self.response

    def keepalive_timeout(self) -> None:
        """Close, and do not wait for a peer who reads nothing."""
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self.transport.abort()


SOCKET_OPTIONS: Final[dict[str, Any]] = {
    "ws": SocketProtocol,
    "ws_max_size": LARGEST_MESSAGE_BYTES,
    "ws_ping_interval": PING_SECONDS,
    "ws_ping_timeout": PING_SECONDS,
    "ws_per_message_deflate": False,
}
"""What uvicorn is told about WebSockets."""
