"""Development: real PostgreSQL and Redis from wheels, and the supervisor behind `tickwheel dev`.

Nothing in production imports this. The tests use the services on their own, too.
"""
