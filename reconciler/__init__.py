"""GitOps for local models: make a llama-swap host serve what a manifest says."""

__version__ = "0.1.0"
