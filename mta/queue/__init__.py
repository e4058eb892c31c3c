"""The queue: one file a message, made by cleanup, worked off by the queue manager."""
