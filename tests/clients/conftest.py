"""The clients, and a small real server for them to speak to."""

from tests.clients.node import node_clients
from tests.clients.small_server import small_server

__all__ = ["node_clients", "small_server"]
