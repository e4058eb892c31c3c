"""smtpd: receives mail from the network (RFC 5321)."""
