"""A server of this process ends with every connection closed, also with those that came in the last moment."""

import contextlib
import socket
from urllib.parse import urlsplit

from aiohttp import web

from tfgrpo.system.http_server import serve_in_background


def test_who_connects_while_the_server_ends_is_not_left_waiting():
    """Connections that were accepted just before listening stopped are closed like all others, not lost."""
    for _ in range(40):
        with contextlib.ExitStack() as stack:
            with serve_in_background(web.Application) as url:
                port = urlsplit(url).port
                last = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
            for one in last:
                one.settimeout(5)
                with contextlib.suppress(ConnectionResetError):  # nobody had taken it up
                    assert one.recv(1) == b""
