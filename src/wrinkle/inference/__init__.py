"""Shared by training, evaluation and serving: networks prepared for prediction, predictions for a
store, and prediction intervals."""
