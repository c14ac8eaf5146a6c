"""The processes that share one spool file: who writes, who delivers, and what is new."""
