"""Networks, one file each: an aligned face → a distribution over ages, and an age."""

from wrinkle.models.adpf import adpf
from wrinkle.models.attention_net import adpf_attention
from wrinkle.models.backbones.efficientnet_lite import efficientnet_lite0
from wrinkle.models.backbones.res18_ex import res18_ex
from wrinkle.models.backbones.resnet import resnet18, resnet34, resnet50
from wrinkle.models.base import AgeModel, Extras, Output, Prediction
from wrinkle.models.bio_inspired import bif_fusion
from wrinkle.models.dhaa import dhaa
from wrinkle.models.heads import HEADS, Head, create_head
from wrinkle.models.pretrained import load_initial
from wrinkle.models.registry import MODELS, create_model, list_models

__all__ = [
    "HEADS",
    "MODELS",
    "AgeModel",
    "Extras",
    "Head",
    "Output",
    "Prediction",
    "adpf",
    "adpf_attention",
    "bif_fusion",
    "create_head",
    "create_model",
    "dhaa",
    "efficientnet_lite0",
    "list_models",
    "load_initial",
    "res18_ex",
    "resnet18",
    "resnet34",
    "resnet50",
]
