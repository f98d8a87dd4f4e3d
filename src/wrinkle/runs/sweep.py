"""Several runs of one recipe file: its variants, with several seeds each."""

from pathlib import Path

from wrinkle.errors import WrinkleError
from wrinkle.runs.overlays import choices, read_recipe
from wrinkle.runs.recipe import Recipe, load_recipe

MOST_SEEDS = 1000
"""Longest range of seeds; a longer one is probably a typing error."""


def load_sweep(
    path: str | Path,
    overrides: list[str] | None = None,
    variants: str | None = None,
    seeds: str | None = None,
) -> list[Recipe]:
    """Load a recipe once for each variant and seed.

    Args:
        path: a YAML file.
        overrides: as for `load_recipe`; they hold for all runs.
        variants: "all", or names with commas between them; None: what the overrides choose.
        seeds: numbers and ranges such as "0-2" or "0,3"; each run's name then ends in its seed.
            None: the recipe's seed.

    Returns:
        The recipes, all variants with the first seed before those with the next.

    Raises:
        WrinkleError: a recipe is invalid, or the lists are.
    """
    given = list(overrides or [])
    if variants is not None and any(each.startswith("variant=") for each in given):
        raise WrinkleError("give --variants or variant=NAME, not both")
    if seeds is not None and any(each.startswith("training.seed=") for each in given):
        raise WrinkleError("give --seeds or training.seed=NUMBER, not both")
    named = any(each.startswith("name=") for each in given)
    if named and (variants is not None or seeds is not None):
        raise WrinkleError("name= would give all runs of --variants and --seeds one folder")
    chosen = [[]] if variants is None else [[f"variant={v}"] for v in _variants(path, variants)]
    found = []
    for seed in [None] if seeds is None else parse_seeds(seeds):
        own = [] if seed is None else [f"training.seed={seed}"]
        for variant in chosen:
            recipe = load_recipe(path, [*given, *variant, *own])
            if seed is not None:
                recipe = recipe.model_copy(update={"name": f"{recipe.name}-seed{seed}"})
            found.append(recipe)
    return found


def parse_seeds(text: str) -> list[int]:
    """Parse seeds.

    Args:
        text: numbers and ranges from 0, such as "0-2" or "0,3".

    Returns:
        The seeds, distinct and ascending.

    Raises:
        WrinkleError: the text is invalid.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [first, last if dash else first]
        if not all(end.strip().isdecimal() for end in ends) or int(ends[0]) > int(ends[1]):
            raise WrinkleError(f"seeds {text!r}: write numbers and ranges such as 0-2 or 0,3")
        if int(ends[1]) - int(ends[0]) >= MOST_SEEDS:
            raise WrinkleError(f"seeds {text!r}: give at most {MOST_SEEDS} seeds")
        seeds.update(range(int(ends[0]), int(ends[1]) + 1))
    return sorted(seeds)


def _variants(path: str | Path, text: str) -> list[str]:
    offered = choices(read_recipe(Path(path)))["variant"]
    if not offered:
        raise WrinkleError(f"{path} has no variants: leave out --variants")
    # Unknown names are reported by `load_recipe`, with the choices.
    return offered if text == "all" else list(dict.fromkeys(text.split(",")))
