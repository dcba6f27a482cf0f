"""What deciding on a config and editing it cost."""
