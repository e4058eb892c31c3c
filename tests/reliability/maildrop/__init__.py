"""A maildrop that two hosts share: the caller's program and the reader are killed.

client    a host that only sends: its own name and boot id, and nothing that runs
writers   callers who have their messages sent, and kill sendmail now and then
prove     the proof
"""
