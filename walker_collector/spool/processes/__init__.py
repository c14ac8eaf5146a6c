"""The processes of one spool file: write lock, leases, news."""
