"""Names → what is built from them, with the fields of each as a schema.

A registry holds entries of one kind (models, heads, losses, datasets, …). They come from three
places: the modules of wrinkle's own folder for that kind, each of which registers what it defines;
the entry points `wrinkle.models`, `wrinkle.heads`, … of installed packages; and plug-ins, which are
single Python files that a recipe names.
"""

import hashlib
import importlib
import inspect
import json
import numbers
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, ValidationError, create_model

from wrinkle.errors import WrinkleError
from wrinkle.settings import Part, explain

T = TypeVar("T")
Factory = TypeVar("Factory", bound=Callable[..., Any])


PLUGIN = "wrinkle_plugin_"
"""Start of the names of plug-ins' modules."""


class Fields(Part):
    """Fields of a registered factory: values of their own types, as JSON and YAML write them."""

    model_config = ConfigDict(strict=True)


class Registry(Generic[T]):
    """Factories of `T` (functions or classes) by name.

    A factory's fields are its parameters that can be given by position or by name. Positional-only
    parameters (before a `/`) are given by the calling code, keyword-only parameters are for tests;
    neither can be set in a recipe.

    Args:
        kind: name of an entry in messages: "model".
        packages: names of the packages whose modules register entries of this kind.

    Example:
        >>> colours = Registry("colour")
        >>> @colours.register
        ... def grey(level: int = 3) -> str:
        ...     return "grey" * level
        >>> colours.create("grey", {"level": 2})
        'greygrey'
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind, self.packages = kind, packages
        self._factories: dict[str, Callable[..., T]] = {}
        self._discovered = False

    @property
    def group(self) -> str:
        """The group of entry points that installed packages use: "wrinkle.models"."""
        return f"wrinkle.{self.kind}{'es' if self.kind.endswith('s') else 's'}"

    def register(self, factory: Factory, name: str | None = None) -> Factory:
        """Decorator: adds a factory under `name`, by default its own.

        Raises:
            WrinkleError: another factory has this name already.
        """
        name = name or factory.__name__
        module = factory.__module__
        if module.startswith(PLUGIN):
            self._discover()  # so that the error names the plug-in, not wrinkle
            noted = _REGISTERED.setdefault(module, [])
            if (self, name, factory) not in noted:
                noted.append((self, name, factory))
        known = self._factories.get(name)
        if (
            known is not None
            and _place(known) != _place(factory)
            and not _is_version(known, factory)
        ):
            raise WrinkleError(
                f"two {self.kind}s are called {name!r}, {_place(known)} and {_place(factory)}: "
                "rename one"
            )
        self._factories[name] = factory
        return factory

    def named(self, name: str) -> Callable[[Factory], Factory]:
        """Decorator: adds a factory under a name that differs from its own."""
        return lambda factory: self.register(factory, name)

    def names(self) -> list[str]:
        """All names, sorted; entry points are named without being imported."""
        self._discover()
        return sorted({*self._factories, *(point.name for point in self._entry_points())})

    def get(self, name: str) -> Callable[..., T]:
        """The factory of that name.

        Raises:
            WrinkleError: unknown; the message has the choices.
        """
        self._discover()
        if name not in self._factories:
            self._load_entry_point(name)
        if name not in self._factories:
            raise WrinkleError(f"unknown {self.kind} {name!r}{_choices(name, self.names())}")
        return self._factories[name]

    def schema(self, name: str) -> type[Fields]:
        """The fields of `name` with their types and defaults, as a pydantic model."""
        parameters = inspect.signature(self.get(name), eval_str=True).parameters.values()
        fields: dict[str, Any] = {
            p.name: (
                Any if p.annotation is p.empty else p.annotation,
                ... if p.default is p.empty else p.default,
            )
            for p in parameters
            if p.kind is p.POSITIONAL_OR_KEYWORD
        }
        return create_model(name, __base__=Fields, **fields)

    def check(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Every field of `name`, those of `fields` checked, the rest with their defaults.

        Raises:
            WrinkleError: an unknown name or field, or a value of another type; one line.
        """
        schema = self.schema(name)
        unknown = [field for field in fields if field not in schema.model_fields]
        if unknown:
            choices = _choices(unknown[0], list(schema.model_fields))
            raise WrinkleError(f"{self.kind} {name} has no field {unknown[0]!r}{choices}")
        try:
            checked = schema.model_validate_json(json.dumps(dict(fields), default=_plain))
        except ValidationError as error:
            raise WrinkleError(f"{self.kind} {name}: {explain(error, schema)}") from None
        except TypeError as error:
            raise WrinkleError(f"{self.kind} {name}: a field is no plain value: {error}") from None
        return dict(checked)

    def create(self, name: str, fields: Mapping[str, Any] | None = None, *given: Any) -> T:
        """Build `name` from its fields.

        Args:
            given: positional-only arguments, before the fields.

        Raises:
            WrinkleError: as `check`, and what the factory itself raises.
        """
        checked = self.check(name, fields or {})
        return self.get(name)(*given, **checked)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for package in self.packages:
            folder = importlib.import_module(package)
            for module in pkgutil.iter_modules(folder.__path__):
                importlib.import_module(f"{package}.{module.name}")

    def _entry_points(self) -> Iterable[Any]:
        from importlib.metadata import entry_points  # 50 ms, and rarely needed

        return entry_points(group=self.group)

    def _load_entry_point(self, name: str) -> None:
        for point in self._entry_points():
            if point.name == name:
                try:
                    self._factories[name] = point.load()
                except Exception as error:  # third-party code
                    raise WrinkleError(
                        f"{self.kind} {name!r} of the package {point.dist.name} cannot be imported:"
                        f" {type(error).__name__}: {error}"
                    ) from error


def _plain(value: Any) -> Any:
    """A number of NumPy as Python's, for JSON."""
    if isinstance(value, numbers.Number) and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a plain value")


def load_plugins(files: Iterable[str | Path]) -> list[ModuleType]:
    """Import Python files, so that what they register can be used by name.

    A file with the same content is imported once. Of two versions of one file, which register the
    same names, the one loaded last is used.

    Raises:
        WrinkleError: a file is missing or cannot be imported; one line.
    """
    return [_load_plugin(Path(file)) for file in files]


def plugin_content(file: str | Path) -> bytes:
    """Content of a plug-in as it was imported, or as it is if it was not imported.

    Raises:
        WrinkleError: there is no such file.
    """
    place = str(Path(file).resolve())
    return _IMPORTED[place] if place in _IMPORTED else _read_plugin(Path(file))


def plugin_entries(files: Iterable[str | Path]) -> list[dict[str, str]]:
    """Name and digest of each plug-in, as headers of model files keep them."""
    return [
        {"file": Path(file).name, "sha256": hashlib.sha256(plugin_content(file)).hexdigest()}
        for file in files
    ]


def find_plugins(entries: Iterable[Mapping[str, str]], folders: Iterable[Path]) -> dict[str, bytes]:
    """Load the plug-ins that a header lists, from a run's own copies.

    Args:
        entries: as `plugin_entries` gives them.
        folders: where the files may be; one with another content does not count.

    Returns:
        The content of each file by its name.

    Raises:
        WrinkleError: a plug-in is not loaded yet and in none of the folders.
    """
    places, found = list(folders), {}
    for entry in entries:
        name = _module_name(entry["file"], entry["sha256"])
        if name in _CONTENTS:
            _activate(name)
        else:
            files = [place / entry["file"] for place in places]
            same = [f for f in files if f.is_file() and _digest(f) == entry["sha256"]]
            if not same:
                raise WrinkleError(
                    f"made with the plug-in {entry['file']}, which is neither beside it nor in its "
                    "run's folder plugins/, or has changed: put the file there"
                )
            load_plugins(same[:1])
        found[entry["file"]] = _CONTENTS[name]
    return found


_IMPORTED: dict[str, bytes] = {}
"""Content of each imported plug-in by its path."""
_CONTENTS: dict[str, bytes] = {}
"""Content of each imported plug-in by the name of its module."""
_REGISTERED: dict[str, list[tuple["Registry[Any]", str, Callable[..., Any]]]] = {}
"""What each plug-in's module registered."""


def _load_plugin(file: Path) -> ModuleType:
    content = _read_plugin(file)
    # By content: the copy that a run keeps of a plug-in is the same plug-in.
    name = _module_name(file.name, hashlib.sha256(content).hexdigest())
    if name in _CONTENTS:
        _activate(name)
    else:
        if file.suffix != ".py":
            raise WrinkleError(f"plug-in {file} is no Python file: its name must end in .py")
        module = ModuleType(name)
        module.__file__ = str(file.resolve())
        sys.modules[name] = module
        try:
            exec(compile(content, str(file), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            if isinstance(error, WrinkleError):
                raise WrinkleError(f"plug-in {file}: {error}") from error
            raise WrinkleError(
                f"plug-in {file} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        _CONTENTS[name] = content
    _IMPORTED[str(file.resolve())] = content
    return sys.modules[name]


def _activate(name: str) -> None:
    """Make the registrations of an imported plug-in those in use."""
    for registry, entry, factory in _REGISTERED.get(name, []):
        registry.register(factory, entry)


def _module_name(file: str, digest: str) -> str:
    return f"{PLUGIN}{Path(file).stem}_{digest[:16]}"


def _is_version(known: Callable[..., Any], factory: Callable[..., Any]) -> bool:
    """Whether two factories come from versions of one plug-in."""
    modules = [each.__module__ for each in (known, factory)]
    same = len({module.rpartition("_")[0] for module in modules}) == 1
    return same and all(module.startswith(PLUGIN) for module in modules)


def _read_plugin(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrinkleError(f"plug-in {file}: {error.strerror}") from None


def _digest(file: Path) -> str:
    return hashlib.sha256(_read_plugin(file)).hexdigest()


def _place(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _choices(given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{hint}; choices: {', '.join(known) or 'none'}"
