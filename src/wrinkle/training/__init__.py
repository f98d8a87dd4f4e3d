"""Training: recipes, one loop, schedules, checkpoints."""
