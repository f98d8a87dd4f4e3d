"""Recipe files: a base, the choices that a file offers, and references to other recipes.

A file holds the fields of `wrinkle.runs.recipe.Recipe`, and optionally:

base: FILE    another recipe, whose fields, sizes and datasets this one inherits and changes.
sizes:        {name: fields that differ}, chosen by `size=NAME`.
datasets:     {name: fields that differ}, chosen by `dataset=NAME`: a dataset under a protocol.
variants:     {name: fields that differ}, chosen by `variant=NAME`: what an ablation changes.

The first listed of `sizes` and of `datasets` is the default; there is no default variant. They are
applied in this order, where later ones override earlier ones: the file's fields, the size, the
dataset, the variant, the overrides on the command line. A dataset may contain `sizes`, and a
variant `sizes` and `datasets`: fields that differ in that combination only, applied directly after
it.

Sections are merged field by field, with two exceptions. A section with another `name` is replaced,
because its old fields belong to the old name. `first` and `init` are replaced too.

`first` (the first stage) and `init` (the start) may refer to a recipe by
{recipe: FILE, size: NAME, dataset: NAME, variant: NAME}. Without `recipe` it is this file. A size
or dataset that is not named is the one chosen here. A variant that is not named is the one chosen
here if the recipe is this file, and none if it is another file; `variant: null` means none. `init`
becomes the model file of that recipe's run if it has one fold with its protocol's name (most
published splits), else the run's folder.

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
"""Kind of choice → the table that lists the choices, in the order in which they are applied."""
KINDS = tuple(TABLES)
REFERENCES = ("first", "init")
"""Fields that may refer to another recipe."""
NAME = re.compile(r"[\w.]+", re.ASCII)
"""Names of choices; hyphens separate the choices in a run's name."""


def read_recipe(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe file, merge it into its base, and check its tables.

    Args:
        path: a YAML file.
        above: the files that name this one as their base.

    Returns:
        The file's content, with all tables.

    Raises:
        WrinkleError: the file cannot be read, or a table is invalid; names the file.
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
        # With the same name two recipes would share a run's folder; variants are not inherited.
        for key in ("name", "variants"):
            inherited.pop(key, None)
        content = merged(inherited, content)
    if not above:
        _check_nested(content, path)
    return content


def choices(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a recipe offers: {"size": names, "dataset": names, "variant": names}."""
    return {kind: list(content.get(table, {})) for kind, table in TABLES.items()}


def choose(
    content: Mapping[str, Any], asked: Mapping[str, str | None], path: Path
) -> dict[str, str | None]:
    """Complete choices by defaults.

    Args:
        content: of the recipe.
        asked: kind → name.
        path: of the recipe, for error messages.

    Returns:
        Kind → name of the size, dataset and variant; None for none.

    Raises:
        WrinkleError: the recipe does not offer a choice; lists those that it does.
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
    """Apply choices to a recipe, or to one of its overlays.

    Args:
        content: of the recipe or overlay.
        chosen: as `choose` returns it.
        kinds: kinds of tables that `content` may have.

    Returns:
        Its fields, without tables.
    """
    tables = [TABLES[kind] for kind in kinds]
    fields = {key: value for key, value in content.items() if key not in tables}
    for number, (kind, table) in enumerate(zip(kinds, tables, strict=True)):
        overlay = content.get(table, {}).get(chosen[kind])
        if overlay:
            fields = merged(fields, overlaid(overlay, chosen, kinds[:number]))
    return fields


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the fields of `change` into those of `base`, as described in the module."""
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
    """Return whether a value of `first`, `init` or `teachers` refers to a recipe."""
    if not isinstance(value, dict) or not value or not value.keys() <= {"recipe", *KINDS}:
        return False
    return all(name is None or isinstance(name, str) for name in value.values())


def follow(
    reference: Mapping[str, Any], path: Path, chosen: Mapping[str, str | None]
) -> tuple[Path, dict[str, str | None]]:
    """Resolve a reference to a recipe.

    Args:
        reference: the value of `first` or `init`, or one of `teachers`.
        path: of the recipe that contains it.
        chosen: the choices of that recipe.

    Returns:
        The file that it names, and the choices for it.
    """
    other = Path(reference.get("recipe") or path)
    content = read_recipe(other)
    asked = {kind: name for kind, name in reference.items() if kind in KINDS}
    for kind, names in choices(content).items():
        if names and (kind != "variant" or other.resolve() == path.resolve()):
            asked.setdefault(kind, chosen[kind])
    return other, choose(content, asked, other)


def run_name(path: Path, name: str | None, chosen: Mapping[str, str | None]) -> str:
    """Return the name of a recipe's run: NAME/DATASET-SIZE-VARIANT, without parts that are None.

    Args:
        path: of the recipe; the default of NAME is the path below `recipes/`, or the file's name.
        name: the field `name` of the recipe.
        chosen: as `choose` returns it.
    """
    if not name:
        parts = Path(os.path.abspath(path)).with_suffix("").parts
        below = parts[::-1].index("recipes") if "recipes" in parts[:-1] else 1
        name = "/".join(parts[-below:])
    ends = [end for end in (chosen["size"], chosen["variant"]) if end]
    start = f"{name}/{chosen['dataset']}" if chosen["dataset"] else name
    return "-".join([start, *ends])


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
    """Check that the tables of overlays only have names that the recipe offers.

    Raises:
        WrinkleError: another name.
    """
    offered = choices(content)

    def check(overlay: Mapping[str, Any], prefix: str, kinds: tuple[str, ...]) -> None:
        for number, kind in enumerate(kinds):
            for name, inner in overlay.get(TABLES[kind], {}).items():
                field = f"{prefix}{TABLES[kind]}.{name}"
                if name not in offered[kind]:
                    names = ", ".join(offered[kind]) or "none"
                    raise WrinkleError(f"{path}: {field}: no such {kind}; choices: {names}")
                check(inner, f"{field}.", kinds[:number])

    check(content, "", KINDS)
