"""Server-sent events as endpoints really send them: bytes in, JSON values out, however the bytes were cut."""

import json
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["DONE", "MAX_LINE_BYTES", "EventReader", "NotEvents"]

# More than any endpoint sends for one piece of text; a line without an end must not fill the memory.
MAX_LINE_BYTES = 1 << 20
MAX_LINES = 64
SHOWN_CHARS = 60


class NotEvents(ValueError):
    """The bytes are no stream of JSON events; the message says what was found."""


class _Done:
    """The event "[DONE]": nothing comes after it."""


DONE: Final = _Done()


class EventReader:
    """`feed` gives the JSON values that are complete, or DONE; `finish` those that lacked only their last line end.

    A value is taken with its line, because some endpoints leave out the empty line after it; one spread over several "data:" lines is
    put together. Comments and every other field are passed over. Raises NotEvents.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[Any]:
        """What comes before a fault in `data` is given before it is raised; exhaust it before feeding more."""
        first, *lines = data.split(b"\n")
        self._hold(first)
        if lines:
            lines = [bytes(self._held), *lines]
            self._held.clear()
            for line in lines[:-1]:
                yield from self._line(line)
            self._hold(lines[-1])

    def finish(self) -> Iterator[Any]:
        yield from self._line(bytes(self._held))
        yield from self._line(b"")

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_LINE_BYTES:
            raise NotEvents(f"a line of more than {MAX_LINE_BYTES} bytes")

    def _line(self, raw: bytes) -> list[Any]:
        try:
            line = raw.decode().strip("\r\ufeff")
        except UnicodeDecodeError:
            raise NotEvents("text that is not UTF-8") from None
        if not line:
            return self._blank()
        if line.startswith("{"):  # an error that was written into the stream as it is
            self._data.append(line)
        elif line.startswith("data:"):
            self._data.append(line.removeprefix("data:").removeprefix(" "))
        else:
            return []
        return self._complete()

    def _complete(self) -> list[Any]:
        """The value that the held lines make, if they make one."""
        text = "\n".join(self._data)
        if len(text) > MAX_LINE_BYTES or len(self._data) > MAX_LINES:
            raise NotEvents(f"an event of more than {MAX_LINE_BYTES} bytes or {MAX_LINES} lines")
        try:
            value = DONE if text.strip() == "[DONE]" else json.loads(text)
        except (ValueError, RecursionError):
            return []
        self._data.clear()
        return [value]

    def _blank(self) -> list[Any]:
        text = "\n".join(self._data).strip()
        self._data.clear()
        if text:
            raise NotEvents(f"an event that is not JSON: {text[:SHOWN_CHARS]!r}")
        return []
