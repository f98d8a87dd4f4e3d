"""What a protocol is, and the registry of all of them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold
from wrinkle.registry import Registry

_WHOLE = re.compile(r"-?\d+", re.ASCII)
Sizes = tuple[int, int, int]
"""Numbers of pictures that train, validate and test."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A published or stated way to split a dataset.

    Attributes:
        name: with its numbers, as `get_protocol` takes it.
        description: one line.
        source: the citation.
        folds: table with the columns name, age, person, gender, group, source, digest → folds that
            passed `wrinkle.protocols.fold.checked`. Raises WrinkleError when the table lacks what
            the protocol needs.
        checksum: SHA-256 of the packaged list's text, where there is one.
        dataset: its name for `wrinkle prepare`; None: any.
        shares_people: whether pictures of one person may be in two parts; None: the dataset has no
            identities.
        sizes: fold → its sizes over the complete dataset; empty where they depend on the data.
        names: the pictures of all parts, where a list names them.
        letters: name of a picture → a letter for each of `sizes`, where names decide: t trains, v
            validates, e tests, "-" is in no part; None for a name that is not the dataset's.

    Example:
        >>> @PROTOCOLS.named("even-odd")
        ... def even_odd() -> Protocol:
        ...     def split(table: pa.Table) -> list[Fold]:
        ...         rows = np.arange(table.num_rows)
        ...         fold = Fold("only", rows[::2], rows[1::4], rows[3::4])
        ...         return checked([fold], table)
        ...
        ...     return Protocol(
        ...         name="even-odd", description="every other row", source="mine", folds=split
        ...     )
    """

    name: str
    description: str
    source: str
    folds: Callable[[pa.Table], list[Fold]]
    checksum: str | None = None
    dataset: str | None = None
    shares_people: bool | None = None
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    names: Callable[[], Iterable[str]] | None = None
    letters: Callable[[str], str | None] | None = None

    @property
    def people(self) -> str:
        """What readers of a table under this protocol must know about people in two parts."""
        if self.shares_people is None:
            return "unknown (the dataset does not say who is who, so some may be shared)"
        return "shared (some both train and test)" if self.shares_people else "on one side only"


PROTOCOLS: Registry[Protocol] = Registry("protocol", "wrinkle.protocols")
"""Name → function of whole numbers that makes the protocol."""


def get_protocol(spec: str) -> Protocol:
    """The protocol that `spec` names.

    Args:
        spec: a name, then whole numbers, separated by colons: "utkface", "by-person:5",
            "morph2-80-20:7". `usage` says which numbers a protocol takes.

    Raises:
        WrinkleError: the name or a number is wrong; one line with the choices.
    """
    name, *numbers = spec.split(":")
    fields = list(PROTOCOLS.schema(name).model_fields)
    if len(numbers) > len(fields) or not all(map(_WHOLE.fullmatch, numbers)):
        raise WrinkleError(
            f"protocol {spec!r} is not understood: write {usage(name)}, whole numbers"
        )
    return PROTOCOLS.create(name, dict(zip(fields, map(int, numbers), strict=False)))


def usage(name: str) -> str:
    """How a protocol is written, with the numbers that it takes: "by-person[:FOLDS[:SEED]]"."""
    fields = PROTOCOLS.schema(name).model_fields
    return name + "".join(f"[:{field.upper()}" for field in fields) + "]" * len(fields)
