"""Recipes, and the folders that training writes: what training and reports share."""
