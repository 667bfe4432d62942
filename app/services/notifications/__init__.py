"""Notifications: rules say who is told of what; the notifier of each process tells them.

`rules` changes rules, `gathering` turns events into messages, `delivering` sends them, and
`notifier` does both for as long as a process lives.
"""
