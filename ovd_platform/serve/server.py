"""Listening: the page on an address. Belongs here: uvicorn and its settings; the application is `application`'s."""

import socket

from ovd_platform.errors import ResourceError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.serve.guards import Access


def serve(ws: Workspace, access: Access, port: int) -> None:
    """Serve the page until the process is told to stop.

    Args:
        ws: The workspace.
        access: Address and token.
        port: Port to listen on.

    Raises:
        ResourceError: If the port is taken.
    """
    import uvicorn

    from ovd_platform.serve.application import make_app

    check_port(access.host, port)
    config = uvicorn.Config(
        make_app(ws, access), host=access.host, port=port, ws="none", log_level="warning", access_log=False, timeout_graceful_shutdown=3,
        server_header=False, timeout_keep_alive=30,
    )  # fmt: skip
    uvicorn.Server(config).run()


def check_port(host: str, port: int) -> None:
    """Say early, and plainly, that a port cannot be had.

    Raises:
        ResourceError: If it is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ResourceError(
                f"Cannot listen on {host}:{port}: expected a free port, got {error.strerror}. Stop what uses it, or give another."
            ) from error
