"""The Hugging Face Hub: metadata and transfer."""
