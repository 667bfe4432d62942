"""`tickwheel doctor`: look at everything an instance needs, and say what to do.

With `TICKWHEEL_DATABASE_URL` and `TICKWHEEL_REDIS_URL` it looks from the inside, as a process of
the instance would; that works when nothing of the instance does. Without them it asks the API.
"""
