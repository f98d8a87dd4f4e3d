"""Protocols: rows → train, validation and test folds. One file each; published lists in lists/."""

import inspect
from collections.abc import Callable

from wrinkle.errors import WrinkleError
from wrinkle.protocols import (
    afad,
    agedb,
    by_folder,
    by_person,
    cacd,
    fgnet,
    lap,
    morph2,
    morph2_draws,
    random,
    utkface,
)
from wrinkle.protocols.fold import Fold, Protocol

__all__ = ["PROTOCOLS", "Fold", "Protocol", "get_protocol", "usage"]

PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "utkface": utkface.protocol,
    "fgnet-lopo": fgnet.protocol,
    "by-person": by_person.protocol,
    "random": random.protocol,
    "by-folder": by_folder.protocol,
    "morph2-80-20": morph2_draws.partitions,
    "morph2-80-20-shared": morph2_draws.partitions_shared,
    "morph2-random": morph2.random_80_20,
    "morph2-partial": morph2.partial_80_20,
    "morph2-white": morph2_draws.white,
    "morph2-white-shared": morph2_draws.white_shared,
    "morph2-s1-s2-s3": morph2.s1_s2_s3,
    "morph2-s1-s2-s3-drawn": morph2_draws.s1_s2_s3,
    "morph2-coral": morph2.coral,
    "cacd-test-120": cacd.test_120,
    "cacd-test-80": cacd.test_80,
    "cacd-coral": cacd.coral,
    "lap-2015": lap.protocol_2015,
    "lap-2016": lap.protocol_2016,
    "afad-coral": afad.protocol,
    "agedb-dir": agedb.protocol,
}
"""Name → function of whole numbers (see its signature) that makes the protocol."""


def get_protocol(spec: str) -> Protocol:
    """The protocol of `spec`: a name, then its whole numbers, separated by colons.

    "utkface", "by-person:5", "morph2-80-20:7"; `usage` says which numbers one takes. WrinkleError
    names the choices when the name or a number is wrong.
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
        raise WrinkleError(
            f"protocol {spec!r} is not understood: write {usage(name)}, whole numbers"
        )
    return make(*values)


def usage(name: str) -> str:
    """How a protocol is written, with the numbers that it takes: "by-person[:FOLDS[:SEED]]"."""
    fields = inspect.signature(PROTOCOLS[name]).parameters
    return name + "".join(f"[:{field.upper()}" for field in fields) + "]" * len(fields)
