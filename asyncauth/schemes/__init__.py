"""Vendors and standards that asyncauth speaks. Each module's docstring is the guide for its users."""

from asyncauth.schemes.carecloud import CareCloudEnterprise as CareCloudEnterprise
from asyncauth.schemes.itcare import ITCare as ITCare
from asyncauth.schemes.oauth2 import ClientCredentials as ClientCredentials
from asyncauth.schemes.oauth2 import RefreshToken as RefreshToken
from asyncauth.schemes.simplicite import Simplicite as Simplicite

__all__ = ["CareCloudEnterprise", "ClientCredentials", "ITCare", "RefreshToken", "Simplicite"]
