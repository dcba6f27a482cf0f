"""What several adapters need: HTTP, files, digests."""
