"""The folder of a run: check that it is of a recipe, and files written before training."""

import json
from pathlib import Path

from wrinkle.errors import WrinkleError
from wrinkle.files import replace_file
from wrinkle.models.file import PLUGINS_FOLDER
from wrinkle.registry import plugin_content
from wrinkle.runs.folder import RECIPE_FILE, RUN_FILE, read_note, today
from wrinkle.runs.recipe import Recipe, load_recipe


def check_folder(root: Path, recipe: Recipe, data: str) -> None:
    """Check that a folder is new, or of a run of the same recipe and data.

    Args:
        root: folder of the run.
        recipe: of the run.
        data: fingerprint of the store.

    Raises:
        WrinkleError: it holds a run of another recipe or of other data.
    """
    if not (root / RECIPE_FILE).exists():
        return
    old = load_recipe(root / RECIPE_FILE).resolved()
    new = recipe.resolved()
    differences = [
        f"{field} is {old.get(field)!r} there, {new.get(field)!r} here"
        for field in dict.fromkeys([*new, *old])
        if old.get(field) != new.get(field) and field.removeprefix("first.") not in Recipe.INERT
    ]
    if read_note(root)["data"] != data:
        differences.append(f"{', '.join(recipe.data.files)} now holds other pictures or labels")
    if differences:
        raise WrinkleError(
            f"{root} holds a run of another recipe ({'; '.join(differences)}): "
            "give this one another name (name=...) or remove that folder"
        )


def write_folder(
    root: Path,
    recipe: Recipe,
    data: str,
    command: str,
    integrity: str,
    labels: str,
    writer: str,
) -> None:
    """Write run.json, the recipe, and copies of its plug-ins.

    Args:
        root: folder of the run.
        recipe: of the run.
        data: fingerprint of the store.
        command: that started the run.
        integrity: what training and test share, in one line.
        labels: which labels the model cannot answer, in one line.
        writer: as for `wrinkle.files.replace_file`.
    """
    note = {"command": command, "data": data, "integrity": integrity, "labels": labels}
    started = read_note(root).get("date") if (root / RUN_FILE).exists() else today()
    if started is not None:  # not known for a run of an earlier version
        note["date"] = started
    replace_file(root / RUN_FILE, json.dumps(note).encode(), writer)
    copies = tuple(f"{PLUGINS_FOLDER}/{Path(file).name}" for file in recipe.plugins)
    for file, copy in zip(recipe.plugins, copies, strict=True):
        replace_file(root / copy, plugin_content(file), writer)
    recipe = recipe.model_copy(update={"plugins": copies})
    replace_file(root / RECIPE_FILE, f"# {command}\n{recipe.to_yaml()}".encode(), writer)
