"""The destinations that come with the collector; plugins like any other."""
