"""Customer.io destination for walker-collector, on the official SDK."""
