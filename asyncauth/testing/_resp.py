"""Where one answer of a Redis server ends and the next begins, and nothing else of its protocol."""

from typing import Final, final

# https://redis.io/docs/latest/develop/reference/protocol-spec/
_LINES: Final = b"+-:_#,("
_STRINGS: Final = b"$!="
_AGGREGATES: Final = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_KINDS: Final = _LINES + _STRINGS + b"".join(_AGGREGATES)
_NOTIFICATIONS: Final = (
    b">",
    b"*3\r\n$7\r\nmessage\r\n",
    b"*3\r\n$8\r\nsmessage\r\n",
    b"*4\r\n$8\r\npmessage\r\n",
)


@final
class Answers:
    """One connection's bytes, cut into whole answers.

    What is no RESP, such as HTTP or TLS, is not cut: each piece that arrives counts as one answer.
    """

    def __init__(self) -> None:
        self._begun = b""
        self._opaque = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the answers that are whole now; the beginning of another one is kept back."""
        data, self._begun = self._begun + data, b""
        answers: list[bytes] = []
        while data:
            end = len(data) if self._opaque else self._end(data)
            if end is None:
                self._begun = data
                break
            answers.append(data[:end])
            data = data[end:]
        return answers

    def _end(self, data: bytes) -> int | None:
        try:
            return _end_of_answer(data)
        except ValueError:
            self._opaque = True
            return len(data)


def is_notification(answer: bytes) -> bool:
    """Tell whether nobody asked for it: a channel's message, or another push."""
    return answer.startswith(_NOTIFICATIONS)


def _end_of_answer(data: bytes) -> int | None:
    """Return where the first answer ends; none if that is still to come.

    Raises:
        ValueError: It is no answer of Redis.
    """
    parts, at = 1, 0
    while parts:
        kind, line_end = data[at : at + 1], data.find(b"\r\n", at)
        if kind not in _KINDS:
            raise ValueError("no RESP")
        if line_end < 0:
            return None
        size = 0 if kind in _LINES else max(int(data[at + 1 : line_end]), -1)
        at = line_end + 2
        parts -= 1
        if kind in _STRINGS and size >= 0:
            at += size + 2
        elif kind in _AGGREGATES and size > 0:
            # An attribute comes before the answer that it is about.
            parts += size * _AGGREGATES[kind] + (kind == b"|")
    return at if at <= len(data) else None
