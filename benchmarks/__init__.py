"""What things cost, measured beside a peer; never asserted by a test."""
