"""The client of SMTP and LMTP: what the agents that deliver to other hosts share.

session      one connection and the messages it carries
opening      from an endpoint to a session that may carry one
connection   octets in and out, waiting, timeouts, back-pressure
tls          the client's side of STARTTLS
terms        what a session is made with, and what comes of it
verdicts     what is said about what the peer said
"""
