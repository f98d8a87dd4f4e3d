"""Pictures that are the same photograph: perceptual hashes and near pairs."""
