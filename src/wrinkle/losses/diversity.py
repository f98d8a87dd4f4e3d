"""The diversity loss of the ADPF paper (TIP 2022), Eq. 7, and its AttentionNet's loss, Eq. 14."""

from typing import Literal, get_args

from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses.distribution import distribution_loss

Form = Literal["literal", "rectified", "cosine"]


def diversity_loss(maps: Tensor, form: Form = "literal") -> Tensor:
    """Eq. 7: Σ over n1 ≠ n2 and positions of HA_n1 · HA_n2, mean over the batch; a scalar.

    maps: (B, n, H, W). form: what is done to the maps first.
    "literal": nothing, Eq. 7 as printed. Maps of opposite signs make it fall without end.
    "rectified": negative values count as 0. Bounded below by 0; smaller maps make it smaller too.
    "cosine": a map's excess over its own mean, negative values as 0, divided by its norm. Each
    ordered pair gives its maps' cosine, in [0, 1], whatever their sign, offset and scale: 0 where
    no position is above both means.
    WrinkleError for another shape or form. 0 for a single map.

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
        # The square root of a flat map's zero would have no gradient.
        norm = excess.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
        flat = excess / norm
    # Σ_{n1 ≠ n2} a·b = |Σ_n a|² − Σ_n |a|², without a matrix of pairs.
    pairs = flat.sum(1).square().sum(-1) - flat.square().sum((1, 2))
    return pairs.mean()


def attention_net_loss(
    logits: Tensor,
    age: Tensor,
    ages: Tensor,
    maps: Tensor,
    sigma: float = 2.0,
    diversity_weight: float = 0.01,
    diversity: Form = "literal",
    deviation: Tensor | None = None,
) -> Tensor:
    """Eq. 14: L_AE + λ L_diversity, mean over the batch; a scalar.

    logits, age, ages, sigma, deviation: as `distribution_loss` (L_AE, Eq. 13) takes them. maps:
    (B, n, H, W), the weighted maps. diversity_weight: λ, at least 0. diversity: the form of Eq. 7.
    WrinkleError on other values or shapes.

    >>> flat, maps = torch.zeros(1, 3), torch.ones(1, 2, 1, 1)  # 0.4330 + 0.01 · 2
    >>> attention_net_loss(flat, torch.tensor([1.0]), torch.arange(3.0), maps, sigma=0.5)
    tensor(0.4530)
    """
    if not isinstance(diversity_weight, (int, float)) or not diversity_weight >= 0:
        raise WrinkleError(f"diversity_weight is {diversity_weight!r}; it must be at least 0")
    age_estimation = distribution_loss(logits, age, ages, sigma, deviation)
    return age_estimation + diversity_weight * diversity_loss(maps, diversity)
