"""Log lines as JSON objects, without pictures, names of files, addresses or messages of errors."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from typing import Any

LOG = logging.getLogger("wrinkle.serve")


class JsonLines(logging.Formatter):
    """A record as one JSON object; an exception as its type and the line that raised it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= cause(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def cause(error: BaseException) -> dict[str, str]:
    """The type of an error and the line that raised it; its message may name a file."""
    where = extract_tb(error.__traceback__)
    place = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    return {"error": type(error).__name__, "at": place}


def log(event: str, level: int = logging.INFO, **facts: object) -> None:
    """Write a line with these facts."""
    LOG.log(level, event, extra={"facts": facts})


def report(error: Exception) -> None:
    """Write a line about an unexpected error."""
    log("failed", logging.ERROR, **cause(error))


def write_logs() -> None:
    """Write the lines of the service and of uvicorn on standard output, and no others."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    for name, level in (("wrinkle.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    # Other packages' lines may contain parts of a request, as python-multipart's do.
    logging.getLogger().handlers = [logging.NullHandler()]
