"""Posthouse: a mail transfer agent of small, mutually distrusting daemons under Supervisor."""

__all__ = ["__version__"]

__version__ = "0.1.0"
