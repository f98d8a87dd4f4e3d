"""Construction of a recipe's network, and checks that the parts of a recipe fit together."""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE
from wrinkle.losses import Target
from wrinkle.models import AgeModel, Head, create_model
from wrinkle.models.pretrained import fill, load_initial
from wrinkle.runs.recipe import Recipe
from wrinkle.training.teachers import check_teachers

TORCH = Path(torch.__file__).parent


def create_network(recipe: Recipe) -> AgeModel:
    """Build a recipe's network with random weights."""
    return create_model(
        recipe.model.name, **{**recipe.model.fields, "input_size": recipe.input.size}
    )


def build_network(recipe: Recipe, started: bool = False, first: Path | None = None) -> AgeModel:
    """Build a recipe's network with its starting weights.

    Args:
        recipe: the recipe.
        started: load no weights, because they will come from a state file.
        first: model file of the first stage; None: there is none yet.

    Returns:
        The network.

    Raises:
        WrinkleError: network, input, loss, start and first stage do not fit together.
    """
    torch.manual_seed(recipe.training.seed)
    network = create_network(recipe)
    if network.zoom not in (None, recipe.input.zoom):
        raise WrinkleError(
            f"input.zoom is {recipe.input.zoom:g}; this {recipe.model.name} needs {network.zoom:g}"
        )
    recipe.create_loss().check(network)
    if first is None:
        _check_first_stage(recipe, network)
    if recipe.init != "none" and not started:
        load_initial(network, recipe.init, recipe.init_classifier)
    if first is not None and not started:
        load_initial(network, str(first))
    for part in frozen_parts(network, recipe.training.frozen):
        part.requires_grad_(False)
    return network


def frozen_parts(network: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Return the parts of a network that training does not change.

    Args:
        network: the network.
        names: the recipe's `training.frozen`.

    Raises:
        WrinkleError: there is no such part.
    """
    parts = dict(network.named_modules())
    for name in names:
        if not name or name not in parts:
            known = ", ".join(n for n, _ in network.named_children())
            raise WrinkleError(f"training.frozen: there is no part {name!r}; parts: {known}")
    return [parts[name] for name in names]


def try_out(recipe: Recipe) -> None:
    """Run a recipe's network, head and loss once on a blank face, and check its teachers.

    Args:
        recipe: the recipe.

    Raises:
        WrinkleError: its parts do not fit together, or one of them fails; one line.
    """
    try:
        network = build_network(recipe).eval()
        check_teachers(recipe, network.ages)
        size = recipe.input.size
        points = torch.tensor(TEMPLATE[None], dtype=torch.float32)
        output = network(torch.zeros(1, 3, size, size), points)
        any_age = torch.full((1, len(network.ages)), 1 / len(network.ages))
        blank = Target(torch.zeros(1), torch.full((1,), torch.nan), teacher=any_age)
        raws = network.raw_outputs(output)
        for name, head in network.classifiers.items():
            _check_decoding(head, raws[name].detach())
        _check_loss(*recipe.create_loss()(output, blank, network))
    except WrinkleError:
        raise
    except Exception as error:  # of a plug-in, or of a head and a network that do not fit
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if not Path(f.filename).is_relative_to(TORCH)]
        place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}"
        head_name = recipe.model.fields.get("head", "its own head")
        raise WrinkleError(
            f"model {recipe.model.name} with {_named(head_name)} and loss "
            f"{', '.join(t.name for t in recipe.loss)} fails on a blank face ({place}): "
            f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error


def _named(head: object) -> str:
    name = head.get("name", head) if isinstance(head, Mapping) else head
    return str(name) if name == "its own head" else f"head {name}"


def _check_loss(loss: object, terms: Mapping[str, object]) -> None:
    """Check that each term is a scalar, and that their sum can be minimised.

    Raises:
        WrinkleError: one is not, or no weight of the network changes the sum.
    """
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.shape != ():
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise WrinkleError(f"loss {name} is {given}; it must be a tensor of shape ()")
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise WrinkleError(
            f"loss {', '.join(terms)} has no gradient: it must depend on the network's output, "
            "without `detach`, and not all of the network may be in training.frozen"
        )


@torch.no_grad()
def _check_decoding(head: Head, raw: Tensor) -> None:
    """Check what a head makes of a raw output.

    Raises:
        WrinkleError: it is no distribution over the ages, or no age.
    """
    name = type(head).__name__
    if type(head).distribution is Head.distribution:
        raise WrinkleError(f"head {name} does not define `distribution`, which every head needs")
    p, age = head.distribution(raw), head.age(raw)
    if p.shape != (1, len(head.ages)) or not torch.allclose(p.sum(-1), p.new_ones(1), atol=1e-3):
        raise WrinkleError(
            f"head {name}: for one face `distribution` is {tuple(p.shape)} with sum "
            f"{float(p.sum()):.3g}; it must be (1, {len(head.ages)}) with sum 1"
        )
    if p.min() < 0:
        raise WrinkleError(f"head {name}: `distribution` has probabilities below 0")
    if age.shape != (1,):
        raise WrinkleError(f"head {name}: for one face `age` is {tuple(age.shape)}, not (1,)")


def _check_first_stage(recipe: Recipe, network: AgeModel) -> None:
    """Check that the recipe names the trained network that `network` requires."""
    name, first = network.first_stage, recipe.first
    if name is None and first is not None:
        raise WrinkleError(f"{recipe.model.name} is trained in one stage: leave out `first`")
    if name is None:
        return
    if first is None:
        if recipe.init == "none":
            raise WrinkleError(
                f"{recipe.model.name} requires a trained {name}: give its recipe as `first`, or "
                "its model file as `init`"
            )
        return
    if first.model.name != name:
        raise WrinkleError(f"first: its model is {first.model.name}; {name} is needed")
    with torch.random.fork_rng():
        trial = create_network(recipe)
        fill(trial, create_network(first).state_dict(), f"the first stage, {first.name},")


def has_after_epoch(network: AgeModel) -> bool:
    """Return whether a network or its final head defines `after_epoch`."""
    own = type(network).after_epoch is not AgeModel.after_epoch
    return own or type(network.head).after_epoch is not Head.after_epoch
