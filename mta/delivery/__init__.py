"""What all delivery agents share."""
