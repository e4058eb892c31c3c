"""Death of the machine on real file systems: what the kernel itself recovers after a power cut.

server       the medium: a file of which every write and every flush is remembered (FUSE)
medium       starts and ends it
device       loop devices and mounts, undone whatever happens
filesystems  which are tried, how they are made and mounted
history      the medium's log; what a power cut at one point of it may leave
image        the medium as a power cut left it
load         mail of all kinds, and what was acknowledged or arrived at which point of the log
check        what must be on a file system after the cut
prove        the proof
"""
