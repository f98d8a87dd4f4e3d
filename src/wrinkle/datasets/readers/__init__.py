"""One file per dataset. The registry imports them all; see `wrinkle.datasets.dataset`."""
