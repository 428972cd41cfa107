"""The server: scripts in, records and bills out."""

import copy
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from openai_wire import (
    ChatRequest,
    JsonObject,
    Usage,
    chat_app,
    serve,
)

from ._delivery import deliver, unwrap
from .replies import Reply, Script


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A valid request, as it came in; the names of `headers` are in lower case."""

    model: str
    body: JsonObject
    headers: Mapping[str, str]


class ScriptedServer:
    """Answers each model's requests from its script, on loopback, inside a `with` block.

    A script is a sequence, one reply a request, the last one repeated; or a function from the
    body of the request to a reply, called on the server's one thread, so keep it quick.
    Requests of the same model take their replies in order of arrival. `n` must be 1.

    All members may be used from any thread, also while requests run.
    """

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        """Take a script per model."""
        self.app: Starlette
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._base_url: str | None = None
        self._forget()
        for model, script in scripts.items():
            self.set_script(model, script)
        self.app = chat_app(self._scripts, self._answer)

    def __enter__(self) -> Self:
        """Start to listen."""
        self._base_url = self._stack.enter_context(serve(self.app))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop within two seconds, whatever is still hanging; the records stay."""
        self._stack.close()
        self._base_url = None

    @property
    def base_url(self) -> str:
        """Such as `http://127.0.0.1:8000/v1`."""
        if self._base_url is None:
            raise RuntimeError("ScriptedServer has a base_url only inside its `with` block.")
        return self._base_url

    def set_script(self, model: str, script: Script) -> None:
        """Give `model` a new script, from its first reply on."""
        if not callable(script) and not script:
            raise ValueError(f"The script of {model!r} needs at least one reply.")
        with self._lock:
            self._scripts[model] = script
            self._places[model] = 0

    def reset(self) -> None:
        """Forget requests and bills, and start every script again."""
        with self._lock:
            self._forget()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The valid requests so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def calls(self) -> Counter[str]:
        """The number of valid requests per model; 0 for a model never asked."""
        return Counter(request.model for request in self.requests)

    def usage(self) -> dict[str, Usage]:
        """The tokens billed per model.

        A reply in one piece is billed whole, also when it is delivered broken; a stream is billed
        for its prompt and the tokens sent before it ended or died; a fault costs nothing.
        """
        with self._lock:
            return dict(self._bills)

    async def _answer(self, chat: ChatRequest, request: Request) -> Response:
        plan = unwrap(self._next_reply(chat, dict(request.headers)))

        def bill(usage: Usage) -> None:
            with self._lock:
                self._bills[chat.model] = self._bills.get(chat.model, Usage()) + usage

        return await deliver(plan, chat, bill)

    def _next_reply(self, chat: ChatRequest, headers: Mapping[str, str]) -> Reply:
        body = chat.raw
        with self._lock:
            self._requests.append(RecordedRequest(chat.model, copy.deepcopy(body), headers))
            script = self._scripts[chat.model]
            place = self._places[chat.model]
            self._places[chat.model] = place + 1
        # Outside the lock: the function may look at the server.
        return script(body) if callable(script) else script[min(place, len(script) - 1)]

    def _forget(self) -> None:
        self._requests: list[RecordedRequest] = []
        self._bills: dict[str, Usage] = {}
        self._places: Counter[str] = Counter()
