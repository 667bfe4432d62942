"""What a job does: HTTP requests, commands, Python functions.

One attempt goes in (`execution.Execution`), one `execution.Outcome` comes out, and meanwhile the
handler writes to the `execution.RunOutput` it was given. Handlers know nothing of tables, leases
or retries. The engine opens `registry.Handlers` once per worker; whoever saves a job asks
`registry.validate_config`.

This file imports nothing: the child process of a Python job passes through it, and must start
fast.
"""
