"""Model repositories: what lies on disk, what should be loaded, and what is."""
