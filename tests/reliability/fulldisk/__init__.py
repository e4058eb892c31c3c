"""A full, sick or read-only disk: mail is refused for now or waits, nothing is lost.

prove     the rounds: strike, watch, lift, and what must be so after each
faults    the kinds of fault: what is done to a disk or a daemon, and what is expected of it
house     the system on three small disks, and a witness of what its clients are told
"""
