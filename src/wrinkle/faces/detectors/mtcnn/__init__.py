"""MTCNN, the detector that needs no download: its weights are in this folder."""

from wrinkle.faces.detectors.mtcnn.detector import MTCNN

__all__ = ["MTCNN"]
