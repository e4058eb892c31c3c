"""Lookup tables: keys to values, of whatever kind. A table that fails is never an empty one."""
