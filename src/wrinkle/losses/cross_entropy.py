"""Cross entropy over whole ages: age estimation as classification (DEX; DHAA's Eq. 4, one term)."""

import torch.nn.functional as F
from torch import Tensor

from wrinkle.losses.distribution import check_shapes


def cross_entropy_loss(logits: Tensor, age: Tensor, ages: Tensor) -> Tensor:
    """−log of the probability of each label's class, mean over the batch; a scalar in nats.

    logits: (B, A). age: (B,) years; a label counts as the class nearest to it, an exact half as
    the even one. ages: (A,) years, the class of each logit. WrinkleError on other shapes.

    >>> import torch
    >>> cross_entropy_loss(torch.zeros(1, 4), torch.tensor([2.0]), torch.arange(4.0))  # ln 4
    tensor(1.3863)
    """
    check_shapes(logits, age, ages)
    label = (age.round()[:, None] - ages).abs().argmin(-1)
    return F.cross_entropy(logits, label)
