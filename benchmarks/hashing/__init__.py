"""What reading every byte again costs."""
