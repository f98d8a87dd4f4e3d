"""A head for ordinal regression with a small network for each question.

Chen, Zhang, Dong, Le and Rao, "Using Ranking-CNN for Age Estimation", CVPR 2017.
"""

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models.heads.head import HEADS
from wrinkle.models.heads.ranks import Ranks


@HEADS.named("ranking_cnn")
class RankingCNN(Ranks):
    """Ranking-CNN: a binary network of its own for each question "older than a_k?".

    The answers are added up: the age is a_r, where r is the number of
    networks that say yes. Departures from the paper: there each network is a complete CNN,
    fine-tuned alone from a common start; here the networks share the convolutions, have a hidden
    layer each and are trained together. A softmax of two outputs is one sigmoid.

    Args:
        in_features: F, the width of the features.
        ages: (A,) years, ascending.
        hidden: units of the hidden layer of each network.

    Raises:
        WrinkleError: hidden is below 1.
    """

    def __init__(self, in_features: int, ages: Tensor, /, hidden: int = 16) -> None:
        super().__init__(ages)
        if hidden < 1:
            raise WrinkleError(f"hidden is {hidden}; each network needs at least 1 hidden unit")
        self.questions = len(ages) - 1
        self.hidden = nn.Linear(in_features, self.questions * hidden)
        self.weight = nn.Parameter(torch.empty(self.questions, hidden))
        self.bias = nn.Parameter(torch.empty(self.questions))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise hidden layers by He's method (fan in), the outputs with N(0, 0.01²)."""
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.zeros_(self.hidden.bias)
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) → logits (B, A − 1)."""
        hidden = self.hidden(features).relu().unflatten(-1, (self.questions, -1))
        logits: Tensor = (hidden * self.weight).sum(-1) + self.bias
        return logits
