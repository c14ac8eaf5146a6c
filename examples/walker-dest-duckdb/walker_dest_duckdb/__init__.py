"""A destination for walker-collector: events as tables of a local DuckDB database."""
