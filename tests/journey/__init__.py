"""Tickwheel from outside, as a new user meets it: real processes, other people's clients.

What a test knows of the application, it was told over HTTP or a WebSocket.
"""
