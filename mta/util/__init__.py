"""What knows nothing of mail."""
