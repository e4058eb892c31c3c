"""A long run, in which nothing may pile up.

disturbance   what befalls a house in its life
scene         the house, what was done to it, and what was found wrong on the way
rest          what the house holds at rest: processes, memory, descriptors, files
watch         bounds that hold at every moment, and those that hold at rest
growth        whether something grows
logbook       what the log tells of each message
prove         the proof
"""
