"""The version of this package, as it is installed."""

from functools import lru_cache


@lru_cache(maxsize=1)
def version() -> str:
    """Return it as text; "unknown" where the package is used without being installed."""
    from importlib.metadata import PackageNotFoundError, version  # a seventh of all imports

    try:
        return version("walker-collector")
    except PackageNotFoundError:
        return "unknown"
