"""A destination for walker-collector: events as rows of a PostgreSQL table, each once."""
