"""The daemon that writes the mail log.

lines      octets from a pipe -> records
classic    a record -> a line in Postfix's form (pure)
file       the file: rotation, a full disk
handler    pipes in, one file out
"""
