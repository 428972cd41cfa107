"""Running an ASGI app on loopback for the length of a `with` block."""

import logging
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

STARTUP_SECONDS = 30.0
GRACE_SECONDS = 1  # for replies still being written when the block ends


class _BackgroundServer(uvicorn.Server):
    """A uvicorn server that says when it listens, or that it never will."""

    def __init__(self, app: ASGIApp) -> None:
        # Critical only: connections broken on purpose are errors to uvicorn. Failures of the
        # app itself are logged by `chat_app`.
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    def run_in_thread(self, listener: socket.socket) -> None:
        try:
            with suppress(SystemExit):  # how uvicorn says that the app did not start
                self.run(sockets=[listener])
        finally:
            self.settled.set()
            listener.close()


@contextmanager
def serve(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
    """Serve `app` from a background thread, and give its base URL, such as `http://127.0.0.1:8000/v1`.

    It leaves the block with the server gone: replies in hand have a second to end, then their
    connections are closed.

    Args:
        app: Any ASGI app.
        host: An address of this machine. The default cannot be reached from another one.
        port: 0 takes a free one.

    Raises:
        OSError: The port is taken.
        RuntimeError: The app did not start.
    """
    listener = socket.create_server((host, port))
    # Inherited by the connections. asyncio sets it only on sockets that name their protocol, and
    # without it every reply waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    address, number = listener.getsockname()[:2]
    server = _BackgroundServer(app)
    thread = threading.Thread(
        target=server.run_in_thread, args=(listener,), name=f"serve-{number}", daemon=True
    )
    thread.start()
    try:
        if not server.settled.wait(STARTUP_SECONDS) or not server.started:
            raise RuntimeError(f"The app did not start on {address}:{number}.")
        yield f"http://{address}:{number}/v1"
    finally:
        server.should_exit = True
        thread.join(GRACE_SECONDS + 1)
        server.force_exit = True
        thread.join(GRACE_SECONDS)
