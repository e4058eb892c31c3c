"""The SMTP and LMTP client: what the delivery agents for other hosts share.

agent          requests in, outcomes out
destinations   a nexthop becomes an itinerary, with what the resolver knows
hosts          the itinerary: in which order, and which hosts are ourselves (pure)
attempt        one request along the itinerary
cache          the sessions that are kept for the next request
session        one connection and the messages that it carries
opening        from an endpoint to a session that may carry one
connection     octets in and out, waiting, timeouts, back-pressure
tls            the client's side of STARTTLS
terms          what a session is made with, and what comes of it
verdicts       what is said about what the peer said
"""
