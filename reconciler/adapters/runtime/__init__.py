"""What runs llama-swap: a Docker container, commands of a person, or nothing we manage."""
