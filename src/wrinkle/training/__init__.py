"""Training: one step, the loop, optimizers and schedules, checkpoints, folds."""
