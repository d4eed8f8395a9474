"""Settings of all tests."""

from hypothesis import settings

# How long an example takes says something of the machine: on a busy one, tests failed that found nothing.
settings.register_profile("townwatch", deadline=None)
settings.load_profile("townwatch")
