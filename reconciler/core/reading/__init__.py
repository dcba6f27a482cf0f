"""From text to values: manifest and lock, every fault with its place."""
