"""The version of this package, which its distribution takes from here."""

__version__ = "0.1.0"
