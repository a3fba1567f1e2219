"""The examples of CareCloud's getting-started page, and a scheme made of them."""

from typing import Any

from asyncauth._token import Token
from asyncauth.schemes import CareCloudEnterprise

BASE = "https://sandbox.crmcarecloud.com/webservice/rest-api/enterprise-interface/v1.0"
BEARER = "09359095c5da43c7ae11e710eabce49418715a6a"

# "Getting started", step 1.
DATA: dict[str, Any] = {
    "bearer_token": BEARER,
    "valid_to": "2023-01-04 10:31:56",
    "user": {"user_id": "838b73aacb5ac326cec4030c80", "login": "fabulous_user", "phone": 420123828931},
}


def carecloud(**options: Any) -> CareCloudEnterprise:
    fields = {
        "application_id": "89d1a6111b3fb6e74665d948",
        "login": "fabulous_user",
        "password": "password_example",
        **options,
    }
    return CareCloudEnterprise("sandbox.crmcarecloud.com", **fields)


def held() -> Token:
    return Token(access_token=BEARER)
