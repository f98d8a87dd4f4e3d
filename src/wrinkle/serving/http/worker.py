"""One thread that computes the pictures of all requests together."""

import io
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from wrinkle.serving.estimator import AgeEstimator
from wrinkle.serving.http.problems import SOON, RequestError
from wrinkle.serving.prediction import Prediction

Job = tuple[io.BytesIO, "Future[Prediction]"]
KEEP = 0.99
"""Factor of the measured time at each further picture: the last 100 or so decide."""
SHARE = 0.75
"""Of the time limit that the estimated wait may fill, because the rate varies."""


class Worker:
    """Feeds waiting pictures to an estimator's stream, which computes them in batches.

    While pictures wait, they join the stream that is running, so that pictures of different
    requests share batches, and some are decoded while others are computed. When none waits, the
    stream ends and its last results are returned at once.

    Args:
        estimator: computes.
        batch: pictures that are read ahead, as for `AgeEstimator.stream`.
        queue: pictures that may wait.
        seconds: time limit of a request. One that would take longer, by the rate at which the
            last pictures were computed, is refused.
        report: called with an error that is not the picture's fault.
    """

    def __init__(
        self,
        estimator: AgeEstimator,
        batch: int,
        queue: int,
        seconds: float,
        report: Callable[[Exception], None],
    ) -> None:
        self._estimator, self._batch, self._report = estimator, batch, report
        self._limit, self._seconds = queue, seconds
        self._waiting: deque[Job] = deque()
        self._begun: deque[Job] = deque()
        self._spent = self._done = 0.0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="wrinkle-worker", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of pictures that wait."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether pictures are accepted and computed."""
        return self._thread.is_alive() and not self._closed

    def submit(self, pictures: Sequence[io.BytesIO]) -> list["Future[Prediction]"]:
        """Queue the pictures of a request.

        Args:
            pictures: files' contents; their `name` is used in errors.

        Returns:
            A future for each; one that is cancelled before its turn is not computed.

        Raises:
            RequestError: 429 if the queue is full or they could not be computed in time, 503 if
                the service is stopping.
        """
        jobs: list[Job] = [(picture, Future()) for picture in pictures]
        with self._changed:
            if not self.alive:
                raise RequestError(
                    503, "the service is stopping: send the request again later", SOON
                )
            if len(self._waiting) + len(jobs) > self._limit:
                raise RequestError(
                    429, "too many pictures wait: send the request again later", SOON
                )
            self._check_time(len(jobs))
            self._waiting.extend(jobs)
            self._changed.notify()
        return [future for _, future in jobs]

    def _check_time(self, pictures: int) -> None:
        """Refuse pictures that would wait too long. With none before them they are computed."""
        before = len(self._waiting) + len(self._begun)
        if not before or not pictures or not self._done:
            return
        late = (before + pictures) * self._spent / self._done - SHARE * self._seconds
        if late > 0:
            raise RequestError(
                429,
                f"too many pictures wait to be computed within {self._seconds:g} seconds: "
                "send the request again later",
                {"Retry-After": str(math.ceil(late))},
            )

    def close(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
            self._compute()

    def _compute(self) -> None:
        """Compute what waits and what joins meanwhile."""
        last = time.monotonic()
        try:
            for prediction in self._estimator.stream(self._source(), self._batch):
                now = time.monotonic()
                self._spent = KEEP * self._spent + now - last
                self._done = KEEP * self._done + 1
                last = now
                _finish(self._begun.popleft()[1], prediction)
        except Exception as error:
            self._report(error)
            while self._begun:
                self._compute_alone(*self._begun.popleft())

    def _source(self) -> Iterator[io.BytesIO]:
        while self._waiting:
            job = self._waiting.popleft()
            if job[1].set_running_or_notify_cancel():
                self._begun.append(job)
                yield job[0]

    def _compute_alone(self, picture: io.BytesIO, future: "Future[Prediction]") -> None:
        """After an unexpected error: one picture must not cost the others their result."""
        try:
            (prediction,) = self._estimator.stream([picture], 1)
            _finish(future, prediction)
        except Exception as error:
            self._report(error)
            future.set_exception(error)


def _finish(future: "Future[Prediction]", prediction: Prediction) -> None:
    prediction.image = None  # its pixels are not needed any more
    future.set_result(prediction)
