"""Face detectors; one file each."""
