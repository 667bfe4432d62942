"""How hard hypothesis looks: `TICKWHEEL_PROPERTIES=thorough` makes a long run of it."""

import os

from hypothesis import HealthCheck, settings

_PATIENT = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
# What decides whether a change lands looks at the same examples each time; other runs at new ones.
settings.register_profile("quick", _PATIENT, max_examples=60, derandomize="CI" in os.environ)
settings.register_profile("thorough", _PATIENT, max_examples=3_000)
settings.load_profile(os.environ.get("TICKWHEEL_PROPERTIES", "quick"))
