"""SMTP (RFC 5321) as two state machines without IO."""
