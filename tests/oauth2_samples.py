"""The examples of RFC 6749, and schemes made of them."""

from typing import Any

from asyncauth._exchange import AuthResponse
from asyncauth._token import Token
from asyncauth.schemes import ClientCredentials, RefreshToken
from flow_driver import reply

TOKEN_URL = "https://server.example.com/token"

# RFC 6749, sections 2.3.1, 4.4.2, 5.1 and 6.
CLIENT = "s6BhdRkqt3"
BODY_SECRET = "7Fjfp0ZBr1KtDRbnfVdmIw"
BASIC = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"
BASIC_SECRET = "gX1fBat3bV"
RFC_REFRESH = "tGzv3JOkF0XG5Qx2TlKWIA"
RFC_ANSWER = {
    "access_token": "2YotnFZFEjr1zCsicMWpAA",
    "token_type": "example",
    "expires_in": 3600,
    "refresh_token": RFC_REFRESH,
    "example_parameter": "example_value",
}
GOOD = {**RFC_ANSWER, "token_type": "bearer"}


def service(**options: Any) -> ClientCredentials:
    return ClientCredentials(TOKEN_URL, **{"client_id": CLIENT, "client_secret": BASIC_SECRET, **options})


def user(**options: Any) -> RefreshToken:
    fields = {"client_id": CLIENT, "client_secret": BASIC_SECRET, "subject": "user-17", **options}
    return RefreshToken(TOKEN_URL, **fields)


def held(**options: Any) -> Token:
    return Token(**{"access_token": "old", "refresh_token": RFC_REFRESH, **options})


def refusal(status: int, code: str, words: str | None = None) -> AuthResponse:
    return reply({"error": code, **({"error_description": words} if words else {})}, status)
