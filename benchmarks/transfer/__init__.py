"""What a verified transfer costs, beside other downloaders."""
