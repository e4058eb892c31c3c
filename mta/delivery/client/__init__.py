"""The client of SMTP and LMTP: what the delivery agents for other hosts share."""
