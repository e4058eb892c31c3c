"""Clocks that are set, and machines that sleep.

mail    letters, the next host's moods, and who got what
prove   the proof
"""
