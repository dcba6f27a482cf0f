"""llama-swap's config as text: find the spans, edit them, leave every other byte as it is."""
