"""What a search over the models that are here costs."""
