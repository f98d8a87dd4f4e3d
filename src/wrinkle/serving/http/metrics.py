"""What /metrics shows, in Prometheus's form."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The measurements of one service.

    Args:
        waiting: returns the number of pictures that wait.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "wrinkle_requests_total",
            "Requests answered",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "wrinkle_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.active = Gauge(
            "wrinkle_requests_active", "Requests being handled", registry=self.registry
        )
        self.pictures = Counter(
            "wrinkle_pictures_total", "Pictures answered", ["result"], registry=self.registry
        )
        self.faces = Counter("wrinkle_faces_total", "Faces with an age", registry=self.registry)
        queue = Gauge("wrinkle_pictures_waiting", "Pictures in the queue", registry=self.registry)
        queue.set_function(waiting)
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)
