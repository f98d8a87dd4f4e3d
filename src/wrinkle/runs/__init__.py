"""Runs: recipes, the folder of a run, and the reader of finished runs."""
