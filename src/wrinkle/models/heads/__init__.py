"""Heads, one file each: features of a face → a distribution over ages, and an age."""

from wrinkle.models.heads.head import HEADS, Head, HeadChoice, create_head

__all__ = ["HEADS", "Head", "HeadChoice", "create_head"]
