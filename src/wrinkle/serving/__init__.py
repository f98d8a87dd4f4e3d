"""Application of trained networks: `AgeEstimator`, annotated pictures, explanations."""
