"""Cronofy's OAuth endpoints: authorization codes, refresh tokens, revocation."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

import attrs
from yarl import URL

from asyncauth.testing.emulators._base import Route
from asyncauth.testing.emulators._cronofy_tokens import (
    JSON_TYPE,
    Authorization,
    Code,
    CronofyAccounts,
    proves,
)
from asyncauth.testing.emulators._messages import ReceivedRequest, RefusalError, Reply

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@attrs.define(kw_only=True, eq=False, repr=False)
class CronofyOAuth(CronofyAccounts):
    """What both hosts answer below `/oauth`; application's id and secret are in the body.

    Attributes:
        approving: Who approves at the authorize endpoint; nobody means that the person declines.
        pkce: Whether a code challenge is looked at; the vendor documents none.
        used_code: What a code that is not good gets: the documented `invalid_grant`, or the
            `errors.unknown_or_used` of the vendor's FAQ.
        wrong_content_type: What a body that is neither JSON nor a form gets. Not documented.
        invalid_client_body: What comes with a 401 of these endpoints. Not documented.
    """

    approving: str | None = "ada"
    pkce: Literal["ignored", "checked", "required"] = "ignored"
    used_code: Literal["invalid_grant", "unknown_or_used"] = "invalid_grant"
    wrong_content_type: Literal[400, 415] = 415
    invalid_client_body: Literal["json", "empty"] = "json"

    @property
    def api_url(self) -> URL:
        """The API's host."""
        return self.url

    @property
    def app_url(self) -> URL:
        """The host that people see."""
        return self.url

    def oauth_routes(self) -> Mapping[str, Route]:
        """Return the paths that both hosts have."""
        return {
            "/oauth/authorize": Route("other", self._authorize, ("GET",)),
            "/oauth/token": Route("token", self._token, ("POST",)),
            "/oauth/token/revoke": Route("other", self._revoke, ("POST",)),
        }

    def _authorize(self, request: ReceivedRequest) -> Reply:
        query = request.query
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        # RFC 6749, section 4.1.2.1: nobody is sent back for these two.
        if client_id not in self.applications or not redirect_uri:
            raise RefusalError("authorize", Reply(status=400, body=b"<html>unknown application</html>"))
        challenge = query.get("code_challenge", "") if self.pkce != "ignored" else ""
        if query.get("response_type") != "code" or (self.pkce == "required" and not challenge):
            return _back(redirect_uri, query.get("state"), error="invalid_request")
        if self.approving is None:
            return _back(redirect_uri, query.get("state"), error="access_denied")
        code = Code(
            client_id=client_id,
            person=self.approving,
            sub=self.sub_of(self.approving, avoid_linking=query.get("avoid_linking") == "true"),
            scope=tuple(query.get("scope", "").split()),
            redirect_uri=redirect_uri,
            challenge=challenge,
            expires_at=self.clock.wall() + self.code_lifetime,
        )
        return _back(redirect_uri, query.get("state"), code=self.give_code(code))

    def _token(self, request: ReceivedRequest) -> Reply:
        fields = self.fields_of(request)
        client_id = self._client(fields)
        if self.token_calls_count:
            self.admit(client_id)
        grant = fields.get("grant_type")
        if not grant:
            raise _oauth_refusal("invalid_request")
        if grant == "authorization_code":
            return self._exchanged(client_id, fields)
        if grant == "refresh_token":
            return self._refreshed(client_id, fields)
        raise _oauth_refusal("unsupported_grant_type")

    def _exchanged(self, client_id: str, fields: Mapping[str, str]) -> Reply:
        code = self.spend_code(fields.get("code", ""), client_id, fields.get("redirect_uri", ""))
        proof = fields.get("code_verifier", "")
        if code is None or (code.challenge and not proves(code.challenge, proof)):
            raise self._unknown_code()
        authorization = self.authorization_of(client_id, code.person, code.sub, code.scope)
        profile = {
            "provider_name": "google",
            "profile_id": f"pro_{sha256(code.person.encode()).hexdigest()[:10]}",
            "profile_name": f"{code.person}@example.com",
        }
        named = {"account_id": code.sub, "sub": code.sub, "linking_profile": profile}
        return self.answer(authorization, **named)

    def _unknown_code(self) -> RefusalError:
        if self.used_code == "invalid_grant":
            return _oauth_refusal("invalid_grant")
        return invalid("code", "errors.unknown_or_used")

    def _refreshed(self, client_id: str, fields: Mapping[str, str]) -> Reply:
        authorization = self.spend(fields.get("refresh_token", ""), client_id)
        if authorization is None:
            raise _oauth_refusal("invalid_grant")
        return self.answer(authorization)

    def answer(self, authorization: Authorization, **named: object) -> Reply:
        """Return a token set, with the account's names beside it where the vendor gives them."""
        body = {
            "token_type": "bearer",
            "access_token": self.issue(authorization),
            "expires_in": int(self.lifetime),
            "refresh_token": authorization.refresh_token,
            "scope": " ".join(authorization.scope),
        }
        return Reply.json({**body, **named}, headers={**JSON_TYPE, **_NO_STORE})

    def _revoke(self, request: ReceivedRequest) -> Reply:
        fields = self.fields_of(request)
        client_id = self._client(fields)
        token, sub = fields.get("token", ""), fields.get("sub", "")
        if not token and not sub:
            raise invalid("token", "errors.required")
        found = self.find(client_id, token, sub)
        # RFC 7009, section 2.2: an unknown token is no error.
        if found is not None:
            found.revoked = True
        return Reply()

    def fields_of(self, request: ReceivedRequest) -> Mapping[str, str]:
        """Return the texts of a JSON or form body."""
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return dict(request.form())
        if kind != "application/json":
            raise RefusalError("content type", Reply(status=self.wrong_content_type))
        fields = request.json_object()
        if fields is None:
            raise _oauth_refusal("invalid_request")
        return {name: value for name, value in fields.items() if isinstance(value, str)}

    def _client(self, fields: Mapping[str, str]) -> str:
        client_id = fields.get("client_id", "")
        if self.applications.get(client_id) != fields.get("client_secret", ""):
            if self.invalid_client_body == "json":
                raise _oauth_refusal("invalid_client", 401)
            raise RefusalError("invalid_client", Reply(status=401))
        return client_id


def _oauth_refusal(error: str, status: int = 400) -> RefusalError:
    # The vendor's samples have the code alone, without a description.
    return RefusalError(error, Reply.json({"error": error}, status=status, headers=JSON_TYPE))


def invalid(field: str, key: str) -> RefusalError:
    """Return the refusal of a field, with the key that says why."""
    errors = {"errors": {field: [{"key": key, "description": f"{field}: {key}"}]}}
    return RefusalError("invalid", Reply.json(errors, status=422, headers=JSON_TYPE))


def _back(redirect_uri: str, state: str | None, **fields: str) -> Reply:
    fields |= {} if state is None else {"state": state}
    return Reply(status=302, headers={"Location": str(URL(redirect_uri).update_query(fields))})
