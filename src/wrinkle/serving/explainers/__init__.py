"""Figures that explain a network's prediction, one file for each kind of network.

`explain_face` and `explain_many` select a function by the network's class
(`functools.singledispatch`). A network can register its own; others get the default figure.
"""

from wrinkle.serving.explainers import adpf, dhaa
from wrinkle.serving.explainers.plain import (
    explain_face,
    explain_many,
    has_gallery,
    has_own_figure,
)

__all__ = ["adpf", "dhaa", "explain_face", "explain_many", "has_gallery", "has_own_figure"]
