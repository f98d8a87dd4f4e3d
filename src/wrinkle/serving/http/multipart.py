"""The files of a multipart/form-data body, in memory."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wrinkle.serving.http.problems import RequestError


@dataclass
class Part:
    """A part of the body."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def filename(self) -> str | None:
        """The name of the file, "" without one; None if the part is no file named `pictures`."""
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        if options.get(b"name") != b"pictures" or b"filename" not in options:
            return None
        return options[b"filename"].decode("utf-8", "replace")


class Multipart:
    """Takes a body piece by piece.

    Args:
        content_type: the request's header, with the boundary.
        most: files that are taken.

    Raises:
        RequestError: 422, the header or, from `write` and `files`, the body is invalid; 413, there
            are more files.
    """

    def __init__(self, content_type: str, most: int) -> None:
        self.parts: list[Part] = []
        self._most, self._complete = most, False
        self._name, self._value = bytearray(), bytearray()
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._check,
                    "on_part_data": lambda data, start, end: self.parts[-1].content.extend(
                        data[start:end]
                    ),
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise RequestError(422, "the multipart body has no valid boundary") from None
        if not options.get(b"boundary"):
            raise RequestError(422, "the multipart body has no boundary in its Content-Type")

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise RequestError(422, "the multipart body is invalid") from None

    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of each file, after the last piece."""
        if not self._complete:
            raise RequestError(422, "the multipart body is cut short: its last boundary is missing")
        return [(part.filename or "", bytes(part.content)) for part in self.parts]

    def _begin(self) -> None:
        if len(self.parts) == self._most:
            raise RequestError(413, f"too many pictures: send at most {self._most} at a time")
        self.parts.append(Part())

    def _end_header(self) -> None:
        self.parts[-1].headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _check(self) -> None:
        if self.parts[-1].filename is None:
            raise RequestError(
                422, "the multipart body has an unknown part: send files in parts named `pictures`"
            )

    def _end(self) -> None:
        self._complete = True
