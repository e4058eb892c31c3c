"""SMTP (RFC 5321) without IO: octets in, events out; a server engine."""
