"""Tickwheel: a self-hosted job scheduler that people talk to in GraphQL."""

__version__ = "0.1.0"
