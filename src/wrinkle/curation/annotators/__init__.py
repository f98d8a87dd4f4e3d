"""Annotators: face crops → coarse ages, by services and by models on this machine."""

from wrinkle.curation.annotators.label import Annotator, AnnotatorError, Crop, Label
from wrinkle.registry import Registry

__all__ = ["ANNOTATORS", "Annotator", "AnnotatorError", "Crop", "Label"]

ANNOTATORS: Registry[Annotator] = Registry("annotator", "wrinkle.curation.annotators")
