"""What a watch is made of: where it looks, one pass, its signs of life, and who is told."""
