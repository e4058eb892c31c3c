"""The death of the machine: every point of a recorded run, in every way that a crash may leave it.

letters      the mail: its kinds, and how a copy is judged
machine      a system that is started and killed
recorder     a run under strace
trace        strace's record -> calls
operations   operations on files and folders, and what the world was told
understand   calls -> operations
model        operations -> what is issued and what is durable
contents     what may stand in a file of which not all is durable
variants     states that the model allows
walk         all points, each variant's state kept up to date
shelf        files as the queue's own reader reads them
audit        the books at every point
cases        the states on which the real system is started
restart      the real system on such a state
prove        all of it
"""
