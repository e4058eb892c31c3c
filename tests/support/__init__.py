"""What the tests share: a whole system in a folder, and the words of an SMTP dialogue."""
