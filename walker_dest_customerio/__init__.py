"""Customer.io destination for walker-collector, on the official SDK."""

__version__ = "0.1.0"  # that of walker_collector/version.py
