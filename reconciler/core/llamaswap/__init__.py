"""What llama-swap's config means: its rules, its commands, who refers to whom."""
