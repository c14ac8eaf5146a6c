"""Settings of all tests."""

from hypothesis import settings

# A busy machine is no failure: pytest-timeout bounds each test as a whole.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
