"""The diversity loss of the ADPF paper (TIP 2022), Eq. 7."""

from typing import ClassVar, Literal, get_args

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.term import LOSSES, Target, Term
from wrinkle.models.base import Output
from wrinkle.models.heads import Head

Form = Literal["literal", "rectified", "cosine"]


@LOSSES.named("diversity")
class Diversity(Term):
    """Eq. 7 for the network's weighted attention maps; the term's weight is the λ of Eq. 14.

    Args:
        form: see `diversity_loss`.
    """

    needs: ClassVar = ("maps",)

    def __init__(self, form: Form = "literal") -> None:
        self.form: Form = form

    def __call__(self, output: Output, target: Target, head: Head) -> Tensor:
        """Compute the loss of `output.extra["maps"]` (B, n, H, W), a scalar."""
        return diversity_loss(output.extra["maps"], self.form)


def diversity_loss(maps: Tensor, form: Form = "literal") -> Tensor:
    """Compute Eq. 7: Σ over n1 ≠ n2 and positions of HA_n1 · HA_n2, mean over the batch.

    Args:
        maps: (B, n, H, W).
        form: how the maps are transformed first.
            "literal": not at all, Eq. 7 as printed. Maps of opposite signs make it unbounded below.
            "rectified": negative values become 0. Bounded below by 0; smaller maps also make it
            smaller.
            "cosine": a map's excess over its own mean, negative values set to 0, divided by its
            norm. Each ordered pair contributes the cosine of its maps, in [0, 1], independent of
            their sign, offset and scale: 0 if no position is above both means.

    Returns:
        A scalar; 0 for a single map.

    Raises:
        WrinkleError: another shape or form.

    Example:
        >>> maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
        >>> diversity_loss(maps)  # 2 · (1 · 3 − 2 · 1)
        tensor(2.)
    """
    if maps.ndim != 4:
        raise WrinkleError(f"maps are (B, n, H, W), not {tuple(maps.shape)}")
    if form not in get_args(Form):
        raise WrinkleError(f"form is {form!r}; choices: {', '.join(get_args(Form))}")
    flat = maps.flatten(2)
    if form == "rectified":
        flat = flat.relu()
    elif form == "cosine":
        excess = (flat - flat.mean(-1, keepdim=True)).relu()
        # The square root has no gradient at 0, the norm of a flat map.
        norm = excess.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
        flat = excess / norm
    # Σ_{n1 ≠ n2} a·b = |Σ_n a|² − Σ_n |a|², without a matrix of pairs.
    pairs = flat.sum(1).square().sum(-1) - flat.square().sum((1, 2))
    return pairs.mean()
