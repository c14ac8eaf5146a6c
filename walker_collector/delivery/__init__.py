"""Delivery: one worker per destination, with a queue, batches, retries and a breaker."""
