"""One client's line. Who leaves unread what was sent to him is cut: his socket is gone at once, and nothing waits for him.

A transport that is only closed keeps what is unsent, and its socket, for as long as the client holds the line.
"""

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_UNSENT = 65_536  # bytes that the system keeps for a client beyond what he takes; else it may be megabytes
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the system forgets what is unsent, and tells the client that the line is cut


class Connection(H11Protocol):
    """uvicorn's connection; it bears with a client for `patience` seconds in which he reads nothing of what waits for him."""

    patience = 30.0
    _next_look: asyncio.TimerHandle | None = None

    @classmethod
    def with_patience(cls, seconds: float) -> type["Connection"]:
        """Such connections with a patience of their own."""
        return type("Connection", (cls,), {"patience": seconds})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        transport.set_write_buffer_limits(0)  # so that any byte that waits is told of
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """Something waits for the client."""
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Nothing does any more."""
        super().resume_writing()
        self._look_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone, whoever ended it."""
        self._look_no_more()
        super().connection_lost(exc)

    def _look_again(self, waiting: int) -> None:
        self._next_look = self.loop.call_later(self.patience, self._look, waiting)

    def _look_no_more(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()

    def _look(self, before: int) -> None:
        """Cut a client for whom no fewer bytes wait than `before`."""
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._look_again(waiting)
            return
        if self.scope is not None and (told := self.scope["state"].get("told")):
            told.cut = True
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()
