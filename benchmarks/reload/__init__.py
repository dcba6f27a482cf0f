"""How long llama-swap does not answer while it takes a changed config."""
