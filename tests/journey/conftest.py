"""The outside clients."""

from tests.clients.node import node_clients

__all__ = ["node_clients"]
