"""What a plan with nothing to do costs."""
