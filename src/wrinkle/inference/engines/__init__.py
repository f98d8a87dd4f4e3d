"""Engines that run networks: PyTorch, ONNX Runtime and OpenVINO, chosen by the file's ending."""

from wrinkle.inference.engines.network import ExportedModel, load_network

__all__ = ["ExportedModel", "load_network"]
