"""Any image network of the package timm (Wightman, "PyTorch Image Models", 2019) as a backbone.

In a recipe: `model: {name: timm:resnet18}`, with a file of the network's own weights as `init`.
timm needs torchvision; the extra `timm` installs both.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from wrinkle.errors import WrinkleError, require
from wrinkle.models.base import AgeModel
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

PREFIX = "network."


class TimmNetwork(AgeModel):
    """A network of timm without its classifier, and a head on its pooled features.

    See `timm` for the arguments.

    Raises:
        WrinkleError: timm is not installed or has no such architecture.
    """

    def __init__(self, architecture: str, max_age: int, input_size: int, head: HeadChoice) -> None:
        super().__init__(max_age, input_size)
        require("timm")
        import timm

        if not timm.is_model(architecture):
            raise WrinkleError(f"timm has no network {architecture!r}: see timm.list_models()")
        self.network = timm.create_model(architecture, pretrained=False, num_classes=0)
        norm = self.network.pretrained_cfg
        self.mean, self.std = tuple(norm["mean"]), tuple(norm["std"])  # type: ignore[misc]
        with torch.no_grad():
            # timm's `num_features` is not the number of pooled features for every network.
            features = self.network.eval()(torch.zeros(1, 3, input_size, input_size))
        self.train()
        self.create_final_head(head, features.shape[1])
        self.head.reset_parameters()

    def forward_features(self, images: Tensor, key_points: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) → pooled features (B, F); key points are not used."""
        features: Tensor = self.network(images)
        return features

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert timm's own state dict of the network; its classifier is left out."""
        own = self.state_dict()
        if any(name.startswith(PREFIX) for name in given):
            return dict(given)
        inside = {f"{PREFIX}{name}": tensor for name, tensor in given.items()}
        return {name: tensor for name, tensor in inside.items() if name in own}


@register
def timm(
    architecture: str, max_age: int = 100, input_size: int = 224, head: HeadChoice = "softmax"
) -> TimmNetwork:
    """A network of timm.

    Args:
        architecture: its name in timm without tag, such as "resnet18"; in recipes
            "timm:resnet18".
        max_age: last age in years; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the input. A network of fixed size, such as a vision
            transformer, needs its own.
        head: name of the head, or a mapping of its name and fields.
    """
    return TimmNetwork(architecture, max_age, input_size, head)
