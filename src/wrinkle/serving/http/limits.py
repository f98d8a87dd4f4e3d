"""How much one service accepts, so that no client can exhaust its memory or its time."""

from dataclasses import dataclass

MEGABYTE = 1 << 20
MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a service accepts. More than that is answered by 408, 413, 429 or 503."""

    bytes: int = 32 * MEGABYTE
    """Of the body of a request."""
    pixels: int = 50 * MEGAPIXEL
    """Width × height of a picture."""
    faces: int = 100
    """Faces of a picture whose ages are estimated, most prominent first."""
    requests: int = 256
    """Requests that are received or computed at a time."""
    queue: int = 256
    """Pictures that wait to be computed; also the most pictures of one request."""
    seconds: float = 30.0
    """For receiving a request, and again for computing it."""

    @property
    def bytes_together(self) -> int:
        """Bytes of all requests that are received or computed at a time."""
        return 16 * self.bytes
