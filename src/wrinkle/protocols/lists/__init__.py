"""The packaged split lists, and the scripts that make them from their sources."""
