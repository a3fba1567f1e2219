"""Vendors and standards that asyncauth speaks. Each module's docstring is the guide for its users."""

from asyncauth.schemes._authorization import AuthorizationRequest as AuthorizationRequest
from asyncauth.schemes._carecloud_customer import CustomerLogin as CustomerLogin
from asyncauth.schemes.authorization_code import AuthorizationCode as AuthorizationCode
from asyncauth.schemes.carecloud import CareCloudEnterprise as CareCloudEnterprise
from asyncauth.schemes.carecloud_customer import CareCloudCustomer as CareCloudCustomer
from asyncauth.schemes.clicrdv import ClicRDV as ClicRDV
from asyncauth.schemes.cronofy import CronofyApplication as CronofyApplication
from asyncauth.schemes.cronofy import CronofyUser as CronofyUser
from asyncauth.schemes.itcare import ITCare as ITCare
from asyncauth.schemes.oauth2 import ClientCredentials as ClientCredentials
from asyncauth.schemes.oauth2 import RefreshToken as RefreshToken
from asyncauth.schemes.simplicite import Simplicite as Simplicite
from asyncauth.schemes.static import Basic as Basic
from asyncauth.schemes.static import StaticBearer as StaticBearer

__all__ = [
    "AuthorizationCode",
    "AuthorizationRequest",
    "Basic",
    "CareCloudCustomer",
    "CareCloudEnterprise",
    "ClicRDV",
    "ClientCredentials",
    "CronofyApplication",
    "CronofyUser",
    "CustomerLogin",
    "ITCare",
    "RefreshToken",
    "Simplicite",
    "StaticBearer",
]
