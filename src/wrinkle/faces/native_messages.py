"""Messages that libraries in C write to the standard error of the process."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LIBTIFF = re.compile(
    # "Function: message." and no exception of Python's.
    rb"(?!\w*(?:Error|Exception|Warning|Interrupt): )"
    rb"(?:_?[A-Z]\w*[a-z]|TIFF|[a-z]+(?:Acc|Diff)|tempfile)[\w.]*: [^\n]*\.\s*$"
)
LIBJPEG = re.compile(
    rb"(?:Corrupt|Premature|Invalid|Inconsistent|Unknown|Warning|Bogus|Unsupported)\b"
)
_LOCK = threading.Lock()


@contextmanager
def native_messages(pattern: re.Pattern[bytes]) -> Iterator[list[str]]:
    """Collect lines that a library in C writes to standard error; filled when the block ends.

    Args:
        pattern: which lines these are.


    The descriptor belongs to the process: what other threads write meanwhile is passed on later.
    """
    messages: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            before = os.dup(2)
        except (AttributeError, OSError, ValueError):  # standard error is closed
            yield messages
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield messages
        finally:
            os.dup2(before, 2)
            caught.seek(0)
            for line in caught.read().splitlines(keepends=True):
                if pattern.match(line):
                    messages.append(line.decode(errors="replace").strip())
                else:
                    os.write(before, line)
            os.close(before)
