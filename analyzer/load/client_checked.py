"""The HTTP client of requests whose answers are known: it reads every answer in whole."""

from __future__ import annotations

from typing import Any

from analyzer.load.answer import Answer
from analyzer.load.checked import CheckedMessage
from analyzer.load.client import Message
from analyzer.load.client_http import HttpClient


class CheckedHttpClient(HttpClient):
    """Sends messages, some of them ``CheckedMessage``; an answer that differs is a failure."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - HttpClient's own
        super().__init__(*arguments, **more)
        self._sent: dict[int, Message] = {}

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        """Send one request."""
        self._sent[slot] = message
        super().send(slot, message, planned_ns)

    def _answer(self) -> Answer:
        return Answer(whole=True)

    def _judged(self, slot: int, answer: Answer) -> str | None:
        message, error = self._sent.get(slot), answer.error()
        if error is not None or not isinstance(message, CheckedMessage):
            return error
        return message.wrong_http(answer.headers, answer.body)

    def _learn(self, head: bytes, total: int) -> None:
        """No answer may go unread because its head is known."""
        del head, total
