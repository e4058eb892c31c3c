"""The SMTP and LMTP client: what the delivery agents for other hosts share.

agent          requests in, outcomes out
destinations   a nexthop becomes an itinerary, with what the resolver knows
hosts          the itinerary: in which order, and which hosts are ourselves (pure)
attempt        one request along the itinerary
cache          the sessions that are kept for the next request
session        one session with one host
terms          what holds for all sessions of a row; the structs that go in and out
tls            how sessions are encrypted
"""
