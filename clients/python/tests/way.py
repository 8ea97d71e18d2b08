"""Between a client and a server: what is on its way can be lost."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Way:
    """Between a client and a server."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._there = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._arrives = threading.Event()
        self._arrives.set()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self) -> None:
        """Nothing that the server sends arrives from now on."""
        self._arrives.clear()

    def cut(self) -> None:
        """Closes what is open. What comes then arrives."""
        present, self._open = self._open, []
        for one in present:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._arrives.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(self._there)
            except OSError:
                # Nobody is there.
                here.close()
                continue
            self._open += [here, there]
            threading.Thread(target=self._pass_on, args=(here, there, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(there, here, True), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if is_answer:
                    self._arrives.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
