"""llama-swap: its config file and its HTTP interface."""
