"""Settings of every test: hypothesis judges what a function does, not how fast it is today."""

from hypothesis import settings

settings.register_profile("servetune", deadline=None)
settings.load_profile("servetune")
