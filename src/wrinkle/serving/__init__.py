"""The trained network in other people's hands."""
