"""Bytes <-> meaning, sans-IO: no IO, clock, log or configuration."""
