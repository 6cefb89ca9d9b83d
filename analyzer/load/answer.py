"""An HTTP answer that is read for the first time: how long it is, and what it says.

Answers that look like this one need not be read again (``client_http``).
"""

from __future__ import annotations

import httptools

from engine.v2.strict import error_text

OK = 200
#: so much of an answer is kept, for an error's text; more is only counted by the parser
KEPT_CHUNKS = 64
#: no error's text is longer
ERROR_BYTES = 1 << 20
_END_OF_HEAD = b"\r\n\r\n"


class NotHttp(Exception):
    """What came is no HTTP answer."""


class Answer:
    """One answer, fed piece by piece until it is ``complete``.

    With ``whole`` all of it is kept, and its ``headers``, whose names are in lower case.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.headers: dict[str, str] = {}
        self._whole = whole
        self.complete = False
        #: of one that is complete: its length, and whether the server then closes the connection
        self.total = 0
        self.closes = False
        self._head = b""
        self._chunks: list[bytes] = []
        self._body: list[bytes] = []
        self._length: int | None = None
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what came next.

        Raises:
            NotHttp: it is not HTTP.
        """
        if not self._head:
            self._chunks.append(data)
            begun = b"".join(self._chunks)
            end = begun.find(_END_OF_HEAD)
            if end >= 0:
                self._head = begun[: end + len(_END_OF_HEAD)]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise NotHttp(str(error)) from error

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return bool(self._parser.get_status_code() == OK)

    @property
    def head(self) -> bytes:
        """Return the head of an answer like which others can be known: it says its length.

        b"" where it does not, or where the connection is closed after it.
        """
        return b"" if self._length is None or self.closes else self._head

    @property
    def body(self) -> bytes:
        """Return what was kept of the body."""
        return b"".join(self._body)

    def error(self) -> str | None:
        """Return what it says, of a failure; None of a success."""
        if self.ok:
            return None
        body = self.body
        if "content-encoding" in self.headers:
            body = _plain(body, self.headers["content-encoding"])
        return f"HTTP {self._parser.get_status_code()}: {error_text(body)}"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the length, and what is to be kept (called by the parser)."""
        if self._whole or name.lower() == b"content-encoding":
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() == b"content-length":
            self._length = int(value)

    def on_body(self, body: bytes) -> None:
        """Keep the beginning of the body, or all of it (called by the parser)."""
        if self._whole or len(self._body) < KEPT_CHUNKS:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Note the end (called by the parser)."""
        self.complete = True
        # The parser forgets it once the message is over.
        self.closes = not self._parser.should_keep_alive()
        self.total = len(self._head) + (self._length or 0)


def _plain(body: bytes, coding: str) -> bytes:
    """Undo a content coding, where that can be done."""
    # Only a compressed refusal needs the codec.
    from engine.errors import EngineError  # noqa: PLC0415 - as said above
    from engine.v2.coding import decompress  # noqa: PLC0415 - likewise

    try:
        return bytes(decompress(body, coding, ERROR_BYTES))
    except EngineError:
        return body
