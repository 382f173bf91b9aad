"""Who may ask: names, origins, token, sizes."""

import asyncio
from typing import Any

import pytest

from ovd_platform.errors import InputError
from ovd_platform.serve.guards import MOST_BODY_BYTES, MOST_UPLOAD_BYTES, Access, Guard


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def request(
    access: Access,
    path: str = "/api/status",
    method: str = "GET",
    body: tuple[bytes, ...] = (b"",),
    query: str = "",
    **headers: str,
) -> Any:
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": part, "more_body": i + 1 < len(body)} for i, part in enumerate(body)]
    named = {"host": "127.0.0.1:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(_echo, access)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_only_names_of_this_server_are_answered() -> None:
    assert request(Access())[0] == 200
    assert request(Access(), host="localhost:9")[0] == 200
    assert request(Access(), host="[::1]:9")[0] == 200
    assert request(Access(), host="evil.example")[0] == 403
    assert request(Access(names=("maps.example",)), host="maps.example")[0] == 200


def test_other_sites_cannot_ask() -> None:
    assert request(Access(), method="POST", origin="http://evil.example")[0] == 403
    assert request(Access(), method="POST", origin="http://127.0.0.1:8080", content_type="application/json")[0] == 200
    assert request(Access(), method="POST", origin="null")[0] == 403
    assert request(Access(), sec_fetch_site="cross-site")[0] == 403
    assert request(Access(), path="/", sec_fetch_site="cross-site")[0] == 200
    assert request(Access(), method="POST", content_type="text/plain")[0] == 403


def test_a_token_is_asked_for_and_becomes_a_cookie() -> None:
    access = Access(token="s3cret")
    assert request(access)[0] == 403
    assert request(access, authorization="Bearer s3cret")[0] == 200
    assert request(access, authorization="Bearer other")[0] == 403
    assert request(access, cookie="ovd_token=s3cret; a=b")[0] == 200
    status, headers = request(access, path="/", query="token=s3cret")
    assert status == 303
    assert headers[b"location"] == b"/"
    cookie = headers[b"set-cookie"].decode().lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert request(access, path="/", query="token=wrong")[0] == 403


def test_beyond_loopback_needs_a_token() -> None:
    with pytest.raises(InputError, match="OVD_TOKEN"):
        Access("0.0.0.0")
    assert request(Access("0.0.0.0", "t"), host="10.1.2.3:80", authorization="Bearer t")[0] == 200


def test_bodies_have_a_size() -> None:
    assert request(Access(), method="POST", content_length=str(MOST_BODY_BYTES + 1))[0] == 413
    assert request(Access(), method="POST", path="/api/uploads", content_length=str(MOST_UPLOAD_BYTES))[0] == 200
    assert request(Access(), method="POST", path="/api/uploads", content_length=str(MOST_UPLOAD_BYTES + 1))[0] == 413


def test_a_body_that_lies_about_its_size_is_cut_off() -> None:
    from ovd_platform.serve.problems import TooLargeError

    with pytest.raises(TooLargeError):
        request(Access(), method="POST", body=(b"x" * MOST_BODY_BYTES, b"y"))
