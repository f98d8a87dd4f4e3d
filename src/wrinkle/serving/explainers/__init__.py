"""Figures of what a network looks at, one file for each kind of network.

`explain_face` and `explain_many` choose by the network's class (`functools.singledispatch`); a
network with more to show than the default registers a function of its own.
"""

from wrinkle.serving.explainers import adpf, dhaa
from wrinkle.serving.explainers.plain import (
    explain_face,
    explain_many,
    has_gallery,
    has_own_figure,
)

__all__ = ["adpf", "dhaa", "explain_face", "explain_many", "has_gallery", "has_own_figure"]
