"""The embedded hub and the guided tour."""
