"""Who is at the door: a bearer token, or a session's cookie with a header no other site can set."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Depends, Request

from flyball_gateway.api.errors import ApiError
from flyball_gateway.asking import Asking
from flyball_gateway.identity.access import Act, Person, who_may
from flyball_gateway.identity.limits import Failures
from flyball_gateway.identity.people import People
from flyball_kit import clock

COOKIE: Final = "flyball_session"
CSRF: Final = "X-Flyball-CSRF"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
UNKNOWN: Final = "unknown"


class Entrance:
    """Finds out who asks, and counts those who try."""

    def __init__(self, people: People, asking: Asking) -> None:
        self._people, self._asking = people, asking
        self._failures = Failures()

    def who(self, request: Any) -> Person | None:
        """The person behind a request, for the page; None = nobody, any more."""
        token = _bearer(request.headers.get("authorization", ""))
        if token is not None:
            return self._people.find("token", token)
        return self._people.find("session", request.cookies.get(COOKIE, ""))

    def needs(self, act: Act) -> Any:
        """A dependency: the person, who may do this.

        A browser sends its cookie along with whatever another site makes it send; the header is
        what only our own page can add.
        """

        async def person(request: Request) -> Person:
            found = self._person(request)
            await self._asking.check(found, act, f"{request.method} {request.url.path}"[:200])
            return found

        return Depends(_named(person, act))

    def failed(self, request: Request, kind: str, message: str) -> ApiError:
        """The error of a bad token or code; of an address with too many, another one."""
        address = request.client.host if request.client else UNKNOWN
        if wait_s := self._failures.note(address, clock.monotonic_s()):
            return ApiError(
                429,
                "too-many-failures",
                f"{address} tried {self._failures.most} bad tokens or login codes within a minute; "
                f"wait {wait_s} s",
                {"Retry-After": str(wait_s)},
            )
        return ApiError(401, kind, message, {"WWW-Authenticate": "Bearer"})

    def _person(self, request: Request) -> Person:
        if not self._people.synced:
            raise ApiError(
                503, "starting", "who may come in is being read; try again", {"Retry-After": "1"}
            )
        found = self.who(request)
        if "authorization" in request.headers:
            if found is None:
                raise self.failed(
                    request,
                    "bad-token",
                    "this token is unknown, expired or revoked; get another one: flyball users token",
                )
            return found
        if found is None:
            raise ApiError(
                401,
                "login-needed",
                "found no valid session and no token; valid: `Authorization: Bearer <token>` "
                "(flyball users token), or a login link (flyball users invite)",
                {"WWW-Authenticate": "Bearer"},
            )
        if request.method not in SAFE and CSRF not in request.headers:
            raise ApiError(
                403, "csrf", f"with a session's cookie send the header {CSRF} as well, e.g. `1`"
            )
        return found


def roles_of(act: Act) -> dict[str, Any]:
    """What the OpenAPI document says of who may."""
    return {"x-flyball-act": act, "x-flyball-roles": list(who_may(act))}


def _named(
    person: Callable[[Request], Awaitable[Person]], act: Act
) -> Callable[[Request], Awaitable[Person]]:
    person.__name__ = f"may_{act}"
    return person


def _bearer(header: str) -> str | None:
    """The token of an Authorization header; empty when it is another scheme, None without one."""
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
