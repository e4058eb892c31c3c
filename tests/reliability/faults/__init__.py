"""Errors of system calls: each call of each daemon fails with each error that it can give.

system_calls   which errors which call can give, and what a fault there may cost
matrix         which calls each row makes, and so the cells
strikes        making a call of a running daemon fail, and seeing what was struck
deaths         who died, as Supervisor's log tells it
prove          the proof
"""
