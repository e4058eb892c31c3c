"""What parameters change: real pieces of the house, each under one configuration, looked at.

An observation is a function of a `Scene`: it builds the smallest piece that uses the parameter, and
returns what an operator or a peer would see.
"""
