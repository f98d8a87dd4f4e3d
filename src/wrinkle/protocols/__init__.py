"""Protocols: rows → train, validation and test folds. One file each; published lists in lists/."""

from wrinkle.protocols.fold import Fold
from wrinkle.protocols.protocol import PROTOCOLS, Protocol, get_protocol, usage

__all__ = ["PROTOCOLS", "Fold", "Protocol", "get_protocol", "usage"]
