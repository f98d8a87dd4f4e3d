"""The layers of DHAA and ADPF that others lack, one file each; tensors in, tensors out."""

from wrinkle.layers.aligned_region_pooling import AlignedRegionPooling
from wrinkle.layers.hybrid_attention import (
    HybridAttention,
    RankingGuidedMultiHeadHybridAttention,
)
from wrinkle.layers.patch_crop import crop_patches, patch_boxes, patch_maps
from wrinkle.layers.recurrent_fusion import FullyConnectedFusion, RecurrentFusion
from wrinkle.layers.region_of_interest_pooling import RegionOfInterestPooling
from wrinkle.layers.regional_attention import RegionalAttention, attention_boxes

__all__ = [
    "AlignedRegionPooling",
    "FullyConnectedFusion",
    "HybridAttention",
    "RankingGuidedMultiHeadHybridAttention",
    "RecurrentFusion",
    "RegionOfInterestPooling",
    "RegionalAttention",
    "attention_boxes",
    "crop_patches",
    "patch_boxes",
    "patch_maps",
]
