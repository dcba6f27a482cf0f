"""GGUF headers: what a file says of itself, read without trusting a byte of it."""
