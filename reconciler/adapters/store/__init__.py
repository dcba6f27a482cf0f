"""The models folder: what is in it, and our inventory of it."""
