"""The examples of CareCloud's getting-started page, and schemes made of them."""

from typing import Any

from asyncauth._token import Token
from asyncauth.schemes import CareCloudCustomer, CareCloudEnterprise, CustomerLogin

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


CUSTOMER_BASE = "https://sandbox.crmcarecloud.com/webservice/rest-api/customer-interface/v1.0"
TOKEN_ID = "4d8121dea8ae3c7b7fc66e6924ecc466dc7aa13e299ac757d87533ab2630f31bd906aadf"
CUSTOMER_ID = "8ea6abece4cd0a4ded0a29f093"
LANGUAGES = "cs, en-gb;q=0.8"

# The page's own address is hidden from machines.
JOHN = CustomerLogin("email", "user@example.com", password="password_example")


def installation(project: Any = "sandbox.crmcarecloud.com", **options: Any) -> CareCloudCustomer:
    fields = {
        "application_id": "81eaeea13b8984a169c490a325",
        "device_id": "123456",
        "device_system": "OSX",
        "device_name": "Test device",
        "device_type": "iPhone",
        "language_id": "en",
        "allowed_gps": True,
        **options,
    }
    return CareCloudCustomer(project, **fields)


def device(**fields: Any) -> Token:
    return Token(access_token=TOKEN_ID, refresh_token=TOKEN_ID, **fields)
