"""Typed messages between daemons, and one small client module a service."""
