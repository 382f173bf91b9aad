"""Who may ask: host name, origin, token, size of a body; headers that keep a browser from trusting too much.

Belongs here: one ASGI layer in front of everything. Does not belong here: reading uploads (`uploads`).

A page on the loopback address is reachable from every web site a person has open. So the host must be a known name (no DNS rebinding),
a browser must not say that another site asks (`Sec-Fetch-Site`, `Origin`), and a body must be of a kind that no plain form can send.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi.responses import RedirectResponse

from ovd_platform.errors import InputError
from ovd_platform.serve.problems import NotAllowedError, TooLargeError, problem, status_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
UPLOAD_PATH = "/api/uploads"
MOST_BODY_BYTES = 1 << 20
MOST_UPLOAD_BYTES = 32 << 20
COOKIE = "ovd_token"
_CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", _CONTENT_POLICY.encode()),
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Attributes:
        host: Address the server listens on.
        token: Secret that every request must carry; "" asks for none.
        names: Further host names under which the page is reached (behind a proxy).
    """

    host: str = "127.0.0.1"
    token: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.token:
            raise InputError(
                f"Cannot serve the page on {self.host}: expected a token beyond the loopback address, got none. "
                "Give --token, or set OVD_TOKEN."
            )

    def knows(self, host_header: str) -> bool:
        """Whether a Host header names this server."""
        name = re.sub(r":\d+$", "", host_header).strip("[]").lower()
        everywhere = self.host in ("0.0.0.0", "::")
        return everywhere or name in LOOPBACK or name == self.host.lower() or name in self.names


class Guard:
    """ASGI layer that refuses what nobody of this page sends."""

    def __init__(self, app: Application, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_origin(scope, headers)
            if self._access.token and not self._has_token(headers):
                if self._offers_token(scope):
                    await self._welcome(scope, receive, send)
                    return
                raise NotAllowedError(
                    "Cannot answer: expected the token of this page, got none or another. Open the address that `ovd up` printed."
                )
            limit = MOST_UPLOAD_BYTES if scope["path"] == UPLOAD_PATH else MOST_BODY_BYTES
            if int(headers.get("content-length", "0") or 0) > limit:
                raise _too_large(scope["path"], limit)
        except (NotAllowedError, TooLargeError, ValueError) as error:
            refusal = error if isinstance(error, InputError) else InputError(f"Cannot answer: {error}. Correct the headers.")
            await problem(status_of(refusal), type(refusal).__name__, str(refusal))(scope, receive, send)
            return
        await self._app(scope, _limited(receive, scope["path"], limit), _with_headers(send))

    def _check_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._access.knows(host):
            raise NotAllowedError(
                f"Cannot answer under the name {host!r}: expected a name of this server. Use the address it printed."
            )
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host:
            raise NotAllowedError(f"Cannot answer {origin}: expected a page of this server to ask. Open it there.")
        foreign = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
        if foreign and scope["path"].startswith("/api/"):
            raise NotAllowedError("Cannot answer: expected a page of this server to ask, got another site. Open it here.")
        plain = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
        if scope["method"] not in ("GET", "HEAD") and headers.get("content-type", "").split(";")[0].strip().lower() in plain:
            raise NotAllowedError("Cannot answer a form: expected application/json or an image. Use the API as /api/docs says.")

    def _has_token(self, headers: dict[str, str]) -> bool:
        given = [headers.get("authorization", "").removeprefix("Bearer ")]
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        if COOKIE in cookies:
            given.append(cookies[COOKIE].value)
        return any(hmac.compare_digest(one.encode(), self._access.token.encode()) for one in given)

    def _offers_token(self, scope: Scope) -> bool:
        offered = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return scope["path"] == "/" and hmac.compare_digest(offered.encode(), self._access.token.encode())

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token of the address becomes a cookie, and leaves the address."""
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, self._access.token, httponly=True, samesite="strict")
        await answer(scope, receive, send)


def _too_large(path: str, limit: int) -> TooLargeError:
    return TooLargeError(f"Cannot take the body for {path}: expected at most {limit >> 20} MiB. Cut the chip out of its scene.")


def _limited(receive: Receive, path: str, limit: int) -> Receive:
    """Stop a body that is longer than it said."""
    seen = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(path, limit)
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def headed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return headed
