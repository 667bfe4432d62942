"""How hard hypothesis looks: `TICKWHEEL_PROPERTIES=thorough` makes a long run of it."""

import os

from hypothesis import HealthCheck, settings

_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}
settings.register_profile("quick", max_examples=60, **_COMMON)
settings.register_profile("thorough", max_examples=3_000, **_COMMON)
settings.load_profile(os.environ.get("TICKWHEEL_PROPERTIES", "quick"))
