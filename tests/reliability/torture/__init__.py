"""Death of processes: daemons and supervisord are killed at every stage of their work.

stages   the stages: a row, and a system call or a log record of its work
prove    the proof
"""
