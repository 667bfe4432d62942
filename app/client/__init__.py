"""Tickwheel's own client: what `tickwheel get`, `trigger`, `logs` and their neighbours do.

It is an ordinary client of the GraphQL API, by HTTP and, where something is watched, by WebSocket;
nothing of the server is imported but rules of `app.core`. `address` finds the server and who asks,
`server` speaks to it, `operations/` holds every document that is ever sent, `resources` says what
can be listed and how, `output` writes it down, and `commands` are what a person types.
"""
