"""How the server speaks WebSocket: bounded messages, no compression, pings, and nobody who is deaf.

A ping stands behind all that was sent before it. Whoever does not get to it in time does not read,
or is gone, and is cut off: closing politely would wait for them to read first, holding on to all
that is theirs.
"""

from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LARGEST_MESSAGE_BYTES = 128_000
PING_SECONDS = 20.0


class SocketProtocol(WebSocketsSansIOProtocol):
    """One connection."""

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
