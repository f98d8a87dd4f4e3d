"""What the papers invented; one file each. Pure tensors in, tensors out."""

from wrinkle.layers.aligned_region_pooling import AlignedRegionPooling
from wrinkle.layers.recurrent_fusion import FullyConnectedFusion, RecurrentFusion
from wrinkle.layers.region_of_interest_pooling import RegionOfInterestPooling

__all__ = [
    "AlignedRegionPooling",
    "FullyConnectedFusion",
    "RecurrentFusion",
    "RegionOfInterestPooling",
]
