"""Protocols: rows → train, validation and test folds. One file each; published lists in lists/."""

import inspect
from collections.abc import Callable

from wrinkle.errors import WrinkleError
from wrinkle.protocols import by_person, fgnet, random, utkface
from wrinkle.protocols.fold import Fold, Protocol

__all__ = ["PROTOCOLS", "Fold", "Protocol", "get_protocol"]

PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "utkface": utkface.protocol,
    "fgnet-lopo": fgnet.protocol,
    "by-person": by_person.protocol,
    "random": random.protocol,
}
"""Name → function of whole numbers (see its signature) that makes the protocol."""


def get_protocol(spec: str) -> Protocol:
    """The protocol of `spec`: a name, then its whole numbers, separated by colons.

    "utkface", "fgnet-lopo[:PEOPLE[:SEED]]", "by-person[:K[:SEED]]", "random[:K[:SEED]]".
    WrinkleError names the choices when the name or a number is wrong.
    """
    name, *numbers = spec.split(":")
    if name not in PROTOCOLS:
        raise WrinkleError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    make = PROTOCOLS[name]
    fields = list(inspect.signature(make).parameters)
    try:
        values = [int(number) for number in numbers]
    except ValueError:
        values = None
    if values is None or len(values) > len(fields):
        usage = name + "".join(f"[:{field.upper()}" for field in fields) + "]" * len(fields)
        raise WrinkleError(f"protocol {spec!r} is not understood: write {usage}, whole numbers")
    return make(*values)
