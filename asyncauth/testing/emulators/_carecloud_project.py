"""What CareCloud's interfaces share: one project's zone, applications, limiter and envelopes."""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Literal, Self
from zoneinfo import ZoneInfo

import attrs

from asyncauth.testing.emulators._base import Emulator, Handler, Route
from asyncauth.testing.emulators._faults import Scope
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply


@attrs.define(kw_only=True, eq=False, repr=False)
class CareCloudProject(Emulator):
    """One project.

    Attributes:
        project_tz: IANA name of the project's time zone. Which one a project has is not documented.
        unknown_application: What an unknown application id gets. Not documented.
        rate_limit: Requests within one second, or none for no limit; more get an empty 429. Value
            and scope are not documented.
    """

    project_tz: str = "Europe/Prague"
    unknown_application: Literal[400, 403] = 400
    rate_limit: int | None = None
    _zone: ZoneInfo | None = attrs.field(init=False, default=None)
    _recent: deque[float] = attrs.field(init=False, factory=deque)

    async def __aenter__(self) -> Self:
        # The zone is a file, and files block.
        self._zone = await asyncio.to_thread(ZoneInfo, self.project_tz)
        return await super().__aenter__()

    def wall_time(self, moment: float) -> str:
        """Render an instant as every date-time of the API is: the project's wall time, no offset."""
        return datetime.fromtimestamp(moment, self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def limited(self, scope: Scope, handler: Handler, *methods: str) -> Route:
        """Return a route that counts against the project's rate limit."""

        def handle(request: ReceivedRequest) -> Reply:
            self._admit_rate()
            return handler(request)

        return Route(scope, handle, methods)

    def _admit_rate(self) -> None:
        if self.rate_limit is None:
            return
        now = self.clock.wall()
        while self._recent and now - self._recent[0] >= 1:
            self._recent.popleft()
        # Declined requests do not count, so that a client which backs off gets through.
        if len(self._recent) >= self.rate_limit:
            raise RefusalError("rate", Reply(status=429))
        self._recent.append(now)

    def check_application(self, name: str, value: object, known: frozenset[str]) -> None:
        """Refuse an application id that the project does not know."""
        if value not in known:
            raise field_refusal("application", self.unknown_application, name, "not_found")

    def test_connection(self, request: ReceivedRequest) -> Reply:
        """Answer the public test: it tells that the server lives, nothing of a token."""
        return Reply.json({"data": {"test_string": request.query.get("test_string", "")[::-1]}})

    def wrong_segment(self, interface: str, resource: str) -> RefusalError:
        """Return the refusal of a resource that belongs to the other interface."""
        return care_refusal(
            "wrong segment",
            403,
            f"{interface.capitalize()} API is not allowed for this resource",
            kind="interface_not_allowed_exception",
            data={"invalid_resource_name": resource, "interface": interface},
        )


def care_refusal(
    counted_as: str,
    status: int,
    title: str,
    *,
    kind: str = "",
    data: dict[str, object] | None = None,
) -> RefusalError:
    """Return a refusal in the API's error envelope.

    The values of `type` and `exception` are documented for 400 and for the wrong segment only.
    """
    names = {400: "invalid_argument_exception", 401: "unauthorized_exception", 403: "forbidden_exception"}
    name = kind or names.get(status, "not_found_exception")
    error = {"type": name, "exception": name, "title": title, "detail": title, "error_data": data or {}}
    return RefusalError(counted_as, Reply.json({"error": error}, status=status))


def invalid_params(*problems: tuple[str, str], counted_as: str = "invalid") -> RefusalError:
    """Return a 400 that names the fields and the documented reason for each."""
    params = [
        {"name": name, "reason": reason, "value": None, "message": f"{name}: {reason}"}
        for name, reason in problems
    ]
    return care_refusal(counted_as, 400, "Invalid parameters", data={"invalid_params": params})


def field_refusal(counted_as: str, status: int, name: str, reason: str) -> RefusalError:
    """Return the refusal of a field's value, in the status that the emulator is set to."""
    if status == HTTPStatus.BAD_REQUEST:
        return invalid_params((name, reason), counted_as=counted_as)
    return care_refusal(counted_as, status, f"{name}: {reason}")


def require(fields: Mapping[str, object], *names: str) -> None:
    """Refuse fields that are absent, empty or no text."""
    problems = [(name, reason) for name in names if (reason := _problem(fields, name))]
    if problems:
        raise invalid_params(*problems)


def _problem(fields: Mapping[str, object], name: str) -> str:
    if name not in fields:
        return "required"
    if fields[name] in ("", None):
        return "empty"
    return "" if isinstance(fields[name], str) else "invalid_value_format"


def unauthorized(kind: str) -> RefusalError:
    """Return the refusal of a token, counted by what is wrong with it."""
    return care_refusal(kind, 401, "Invalid credentials or token")
