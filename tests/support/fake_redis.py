"""A Redis server in the test's process: as much of its protocol (version 2) as a cache needs.

``stall`` makes it read and never answer, ``fail`` answer every command with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FakeRedis:
    def __init__(self, password: str | None = None) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.commands: list[tuple[bytes, ...]] = []
        self.password = password
        self.stall = False
        self.fail = ""
        self.port = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        known = self.password is None
        try:
            while words := await self._read(reader):
                self.commands.append(words)
                known = known or words[0].upper() == b"AUTH"
                if not self.stall:
                    writer.write(self._answer(words) if known else b"-NOAUTH log in first\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[bytes, ...]:
        head = await reader.readline()
        words = []
        for _ in range(int(head[1:] or 0)):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        return tuple(words)

    def _answer(self, words: tuple[bytes, ...]) -> bytes:
        if self.fail:
            return f"-{self.fail}\r\n".encode()
        match words[0].upper(), *words[1:]:
            case b"GET", key:
                value = self.kept.get(key)
                return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
            case b"SET", key, value, *_:
                self.kept[key] = value
                return b"+OK\r\n"
            case b"AUTH", *_, password if password != (self.password or "").encode():
                return b"-WRONGPASS it is another\r\n"
            case ((b"AUTH" | b"SELECT" | b"CLIENT"), *_):
                return b"+OK\r\n"
        return b"-ERR unknown command\r\n"

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._open:
            writer.transport.abort()

    async def gone(self) -> None:
        """Close every connection, and wait until it is."""
        serving = [task for task in self._open.values() if task is not None]
        self.hang_up()
        await asyncio.gather(*serving)


@asynccontextmanager
async def redis_server(password: str | None = None) -> AsyncIterator[FakeRedis]:
    fake = FakeRedis(password)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await fake.gone()
