"""The proofs that nothing is lost, each a command: `python -m reliability NAME`, in folder `tests`.

run       the program: chooses a proof, runs it, reports
plan      the proofs by name, and how large each is
proof     what a proof is: a Run goes in, a Report comes out
report    figures and failures, for people, for programs and for docs/reliability.md
house     the system under proof with its neighbours: next host, name server, mailboxes
load      mail of all kinds, sent by several clients at once
ledger    what was acknowledged, what arrived, and whether that is right
message   a message that tells whether it is whole
peer      the next host: takes, defers and refuses mail by recipient

    torture  powercut  filesystems  faults  fulldisk  corruption  maildrop  clock  soak

            a package a proof

A proof's short form is a test (tests/system/test_reliability.py).
"""
