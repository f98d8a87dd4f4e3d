"""List the trained models in the package, and the networks, heads and losses for recipes."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.models import AgeModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", help="print the card of this packaged model, model file or exported one")
    add("--cost", action="store_true", help="print NAME's parameters and multiply-adds by part")


def run(args: argparse.Namespace) -> int:
    from wrinkle.inference.engines import load_network
    from wrinkle.models import create_model, list_models
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import model_file, packaged_models

    if args.cost and args.name is None:
        raise WrinkleError("--cost needs a name: a network, a packaged model or a model file")
    if args.cost:
        network = args.name in list_models()
        if network:
            _print_costs(f"network {args.name}, with its default fields", create_model(args.name))
        if not network or args.name in packaged_models():
            _print_costs(f"model {args.name}", load_model(model_file(args.name))[0])
        return 0
    if args.name is not None:
        _, header = load_network(model_file(args.name))
        print(_card(header))
        return 0
    _print_packaged()
    _print_networks()
    _print_heads_and_losses()
    return 0


def _print_packaged() -> None:
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import packaged_models

    print("Trained models in the package (`wrinkle models NAME` prints the card):")
    for name, path in packaged_models().items():
        _, header = load_model(path)
        scores = "  ".join(f"{key} {value:.2f}" for key, value in _scores(header).items())
        size = path.stat().st_size / 2**20
        print(f"  {name:<20} {header['model']['name']}, {size:.1f} MiB  {scores}")


def _print_networks() -> None:
    from wrinkle.models import MODELS

    def describe(name: str) -> str:
        fields = MODELS.schema(name).model_fields.items()
        required = [field for field, about in fields if about.is_required()]
        if required:
            return f"needs a value for {', '.join(required)}"
        return f"{_parameters(name) / 1e6:6.2f} M parameters"

    print("Networks for recipes (model.name):")
    _print_each(MODELS.names(), describe)


def _parameters(name: str) -> int:
    """Number of a network's parameters; without memory for them where its constructor allows it."""
    import torch

    from wrinkle.models import create_model

    try:
        with torch.device("meta"):
            model = create_model(name)
    except RuntimeError:  # the constructor reads a tensor's values
        model = create_model(name)
    return sum(p.numel() for p in model.parameters())


def _print_heads_and_losses() -> None:
    from wrinkle.losses import LOSSES
    from wrinkle.losses.loss import terms_for
    from wrinkle.models import HEADS

    def losses(head: str) -> str:
        return ", ".join(terms_for(getattr(HEADS.get(head), "trained_as", "")))

    def fields(term: str) -> str:
        about = LOSSES.schema(term).model_fields.items()
        return ", ".join(f"{field}: {each.default}" for field, each in about)

    print("Heads of networks (model.head), and the losses that train them:")
    _print_each(HEADS.names(), losses)
    print("Terms of a loss (loss), and their fields:")
    _print_each(LOSSES.names(), fields)


def _print_each(names: list[str], describe: Callable[[str], str]) -> None:
    for name in names:
        try:
            text = describe(name)
        except WrinkleError as error:  # an installed package that cannot be imported
            text = f"cannot be used: {error}"
        print(f"  {name:<20} {text}".rstrip())


def _print_costs(title: str, model: "AgeModel") -> None:
    from wrinkle.models.cost import costs

    print(title)
    print(f"{'part':<22}{'parameters':>13}{'multiply-adds a face':>22}")
    for row in costs(model):
        print(f"{row.part:<22}{row.parameters:>13,}{row.multiply_adds:>22,}")


def _scores(header: dict[str, Any]) -> dict[str, float]:
    scores: dict[str, float] = header["provenance"]["scores"]
    return scores


def _without_digests(value: Any) -> Any:
    """A part of a provenance without the digests of pictures, which are not for people."""
    if isinstance(value, list):
        return [_without_digests(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_digests(each) for name, each in value.items() if name != "digests"}
    return value


def _card(header: dict[str, Any]) -> str:
    import yaml

    short = {key: header[key] for key in ("model", "input", "provenance")}
    short["provenance"] = _without_digests(header["provenance"])
    return str(yaml.safe_dump(short, sort_keys=False, allow_unicode=True)).rstrip()
