"""Tickwheel from outside, as a new user meets it: real processes, other people's clients.

Nothing here imports the application; what a test knows, it was told over HTTP or a WebSocket.
"""
