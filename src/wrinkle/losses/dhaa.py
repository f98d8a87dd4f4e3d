"""The loss of DHAA (IJCAI 2019), Eq. 4: a cross entropy for the whole network and for each of its
sub-networks, all of the same label."""

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.cross_entropy import cross_entropy_loss


def dhaa_loss(logits: Tensor, age: Tensor, ages: Tensor, sub_logits: Tensor) -> Tensor:
    """Eq. 4: the plain sum of 1 + S cross entropies, each a mean over the batch; nats, a scalar.

    logits: (B, A), of the final classifier. age: (B,) years, as `cross_entropy_loss` takes it.
    ages: (A,) years. sub_logits: (B, S, A), of the sub-networks' classifiers; S = 9 in the paper.
    WrinkleError on other shapes.

    >>> import torch
    >>> logits, age, ages = torch.zeros(1, 4), torch.tensor([2.0]), torch.arange(4.0)
    >>> dhaa_loss(logits, age, ages, torch.zeros(1, 9, 4))  # 10 · ln 4
    tensor(13.8629)
    """
    if sub_logits.ndim != 3 or sub_logits.shape[::2] != logits.shape:
        raise WrinkleError(
            f"sub_logits are (B, S, A) beside logits {tuple(logits.shape)}, "
            f"not {tuple(sub_logits.shape)}"
        )
    subs = [cross_entropy_loss(logits, age, ages) for logits in sub_logits.unbind(1)]
    return cross_entropy_loss(logits, age, ages) + sum(subs)
