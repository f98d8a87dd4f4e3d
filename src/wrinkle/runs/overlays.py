"""Recipe files: a base, the choices that a file offers, and references to other recipes.

A file holds the fields of `wrinkle.runs.recipe.Recipe`, and beside them, all optional:

base: FILE    another recipe, whose fields, sizes and datasets this one takes over and changes.
sizes:        {name: fields that differ}, chosen by `size=NAME`.
datasets:     {name: fields that differ}, chosen by `dataset=NAME`: a dataset under a protocol.
variants:     {name: fields that differ}, chosen by `variant=NAME`: what an ablation changes.

Of `sizes` and `datasets` the first listed is the default; without `variant=` there is none.
Applied are, in this order: the file's own fields, the size, the dataset, the variant, and the
overrides of the command line; the later one wins. A dataset may hold `sizes` of its own, a variant
`sizes` and `datasets`: fields that differ only in that combination, applied right after it.

Sections are merged field by field. Two things are replaced instead: a section of another `name`,
whose old fields are not those of the new thing, and `first` and `init`.

`first` (the first stage) and `init` (the start) may refer to another recipe by
{recipe: FILE, size: NAME, dataset: NAME, variant: NAME}. Without `recipe` it is this file. A size
or dataset that is not named is the one chosen here; so is the variant in this file, while another
file's recipe is taken without one. `variant: null` says so of this file. `init` becomes the model
of that recipe's run, of the fold that has its protocol's name (published splits of one fold).

Paths are relative to the file that they are in, on the command line to the current folder: `base`,
`first`, `recipe` and `plugins`, which make up the recipe. Stores, weights and runs are relative to
the current folder wherever they are written: recipes go from one machine to another, these do not.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError
from wrinkle.settings import read_yaml

TABLES = {"size": "sizes", "dataset": "datasets", "variant": "variants"}
"""What can be chosen → the table that lists the choices, in the order in which they apply."""
KINDS = tuple(TABLES)
REFERENCES = ("first", "init")
"""Fields that may refer to another recipe."""
NAME = re.compile(r"[\w.]+", re.ASCII)
"""No hyphen, which separates the choices in a run's name."""


def read_recipe(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe file says, merged into what its base says, its tables checked.

    Args:
        path: a YAML file.
        above: the files that name this one as their base.

    Raises:
        WrinkleError: one line, naming the file.
    """
    if path.resolve() in above:
        raise WrinkleError(f"{path}: a recipe cannot be its own base")
    content = read_yaml(path, "a recipe is a YAML mapping with sections such as model, data")
    _prepare(content, path)
    base = content.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise WrinkleError(f"{path}: base is {base!r}: give the file of another recipe")
        inherited = read_recipe(path.parent / base, (*above, path.resolve()))
        # The name would make two recipes share a folder of runs; variants belong to one system.
        for key in ("name", "variants"):
            inherited.pop(key, None)
        content = merged(inherited, content)
    if not above:
        _check_nested(content, path)
    return content


def choices(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """{"size": names, "dataset": names, "variant": names} that a recipe offers."""
    return {kind: list(content.get(table, {})) for kind, table in TABLES.items()}


def choose(
    content: Mapping[str, Any], asked: Mapping[str, str | None], path: Path
) -> dict[str, str | None]:
    """The size, dataset and variant asked for, or the default of each.

    Raises:
        WrinkleError: a choice that the recipe does not offer; one line with those it does.
    """
    chosen: dict[str, str | None] = {}
    for kind, names in choices(content).items():
        name = asked.get(kind)
        if name is None:
            chosen[kind] = names[0] if names and kind != "variant" else None
        elif name in names:
            chosen[kind] = name
        elif names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise WrinkleError(f"{path}: no {kind} {name!r}{hint}; choices: {', '.join(names)}")
        else:
            raise WrinkleError(f"{path}: {kind} is {name!r}, but this recipe has no {TABLES[kind]}")
    return chosen


def overlaid(
    content: Mapping[str, Any],
    chosen: Mapping[str, str | None],
    kinds: tuple[str, ...] = KINDS,
) -> dict[str, Any]:
    """The fields of a recipe, or of one of its overlays, with what was chosen applied."""
    tables = [TABLES[kind] for kind in kinds]
    fields = {key: value for key, value in content.items() if key not in tables}
    for number, (kind, table) in enumerate(zip(kinds, tables, strict=True)):
        overlay = content.get(table, {}).get(chosen[kind])
        if overlay:
            fields = merged(fields, overlaid(overlay, chosen, kinds[:number]))
    return fields


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the fields of `change` in place of its own, as the module describes."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and key not in REFERENCES:
            renamed = "name" in value and value["name"] != old.get("name")
            result[key] = value if renamed else merged(old, value)
        else:
            result[key] = value
    return result


def is_reference(value: object) -> bool:
    """Whether `first` or `init` names another recipe."""
    if not isinstance(value, dict) or not value or not value.keys() <= {"recipe", *KINDS}:
        return False
    return all(name is None or isinstance(name, str) for name in value.values())


def follow(
    reference: Mapping[str, Any], path: Path, chosen: Mapping[str, str | None]
) -> tuple[Path, dict[str, str | None]]:
    """The file that a reference in `path` names, and what is chosen there."""
    other = Path(reference.get("recipe") or path)
    content = read_recipe(other)
    asked = {kind: name for kind, name in reference.items() if kind in KINDS}
    for kind, names in choices(content).items():
        if names and (kind != "variant" or other.resolve() == path.resolve()):
            asked.setdefault(kind, chosen[kind])
    return other, choose(content, asked, other)


def run_name(path: Path, name: str | None, chosen: Mapping[str, str | None]) -> str:
    """The name of a recipe's run: PLACE/DATASET-SIZE-VARIANT, of which a recipe may lack any.

    Args:
        path: the recipe's file; its place is the path below `recipes/`, or the file's name.
        name: what the file says in place of that.
        chosen: as `choose` gives it.
    """
    if not name:
        parts = Path(os.path.abspath(path)).with_suffix("").parts
        below = parts[::-1].index("recipes") if "recipes" in parts[:-1] else 1
        name = "/".join(parts[-below:])
    ends = [end for end in (chosen["size"], chosen["variant"]) if end]
    place = f"{name}/{chosen['dataset']}" if chosen["dataset"] else name
    return "-".join([place, *ends])


def _prepare(content: dict[str, Any], path: Path, kinds: tuple[str, ...] = KINDS) -> None:
    """Check a file's tables, and make its references to recipes relative to its folder."""
    for key in REFERENCES:
        value = content.get(key)
        if key == "first" and isinstance(value, str):
            value = {"recipe": value}
        if isinstance(value, dict) and isinstance(value.get("recipe"), str):
            content[key] = {**value, "recipe": str(path.parent / value["recipe"])}
    if isinstance(content.get("plugins"), list):
        content["plugins"] = [str(path.parent / str(file)) for file in content["plugins"]]
    for number, kind in enumerate(kinds):
        table = content.get(TABLES[kind], {})
        if not isinstance(table, dict):
            raise WrinkleError(f"{path}: {TABLES[kind]}: give a mapping of names to fields")
        for name, overlay in table.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise WrinkleError(
                    f"{path}: {TABLES[kind]}: {name!r} is no name; use letters, digits, _ and ."
                )
            if overlay is None:
                table[name] = {}
            elif isinstance(overlay, dict):
                _prepare(overlay, path, kinds[:number])
            else:
                raise WrinkleError(f"{path}: {TABLES[kind]}.{name} is {overlay!r}: give fields")


def _check_nested(content: dict[str, Any], path: Path) -> None:
    """WrinkleError where an overlay's own table has a name that the recipe does not offer."""
    offered = choices(content)

    def check(overlay: Mapping[str, Any], place: str, kinds: tuple[str, ...]) -> None:
        for number, kind in enumerate(kinds):
            for name, inner in overlay.get(TABLES[kind], {}).items():
                inner_place = f"{place}{TABLES[kind]}.{name}"
                if name not in offered[kind]:
                    names = ", ".join(offered[kind]) or "none"
                    raise WrinkleError(f"{path}: {inner_place}: no such {kind}; choices: {names}")
                check(inner, f"{inner_place}.", kinds[:number])

    check(content, "", KINDS)
