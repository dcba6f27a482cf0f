"""The git repository that the manifest lives in."""
