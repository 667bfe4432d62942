"""The long-running loops of a worker: tick, run, renew, sweep.

Loops are thin: each waits, calls one service, logs what went wrong and goes on.
"""
