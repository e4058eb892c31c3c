"""The proof `corruption`: a queue full of damage harms no message beside it.

case      one file that is put into the queue, and what must become of it
octets    what can happen to a queue file's octets: every flip, every length, journals, versions
strange   what else can lie there: links, folders, pipes, sockets, devices, modes, names
scene     the system on such a queue: put files in, wait, look at what became of each
prove     the proof: batch after batch, and the report
"""
