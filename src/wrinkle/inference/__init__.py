"""What training, evaluation and serving share: prepared networks, predictions, intervals."""
