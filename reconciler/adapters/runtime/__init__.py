"""What runs llama-swap: a Docker container, or nothing we manage."""
