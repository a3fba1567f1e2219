"""Shared tokens for asyncio services: one renewal per expiry, in the whole fleet.

`AuthSession` and `AuthMiddleware` authenticate requests, `TokenManager` gives the token alone,
`open_store` opens the place where workers share them; `asyncauth.schemes` has the vendors and
standards, `asyncauth.abc` the contracts for stores and schemes of your own, `asyncauth.testing`
what their tests need.
"""

from asyncauth._clock import Clock as Clock
from asyncauth._errors import AnswerLostError as AnswerLostError
from asyncauth._errors import AuthError as AuthError
from asyncauth._errors import AuthorizationRequiredError as AuthorizationRequiredError
from asyncauth._errors import ClosedError as ClosedError
from asyncauth._errors import ConfigurationError as ConfigurationError
from asyncauth._errors import CredentialRefusedError as CredentialRefusedError
from asyncauth._errors import GrantRefusedError as GrantRefusedError
from asyncauth._errors import InsecureStoreError as InsecureStoreError
from asyncauth._errors import InsecureURLError as InsecureURLError
from asyncauth._errors import LoggedOutError as LoggedOutError
from asyncauth._errors import NotReplicatedError as NotReplicatedError
from asyncauth._errors import PlaintextRecordError as PlaintextRecordError
from asyncauth._errors import RenewalFailedError as RenewalFailedError
from asyncauth._errors import StoreError as StoreError
from asyncauth._errors import StoreUnavailableError as StoreUnavailableError
from asyncauth._errors import TamperedRecordError as TamperedRecordError
from asyncauth._errors import TokenRefusedError as TokenRefusedError
from asyncauth._errors import TokenUnavailableError as TokenUnavailableError
from asyncauth._errors import UnknownKeyError as UnknownKeyError
from asyncauth._errors import UnreadableAnswerError as UnreadableAnswerError
from asyncauth._errors import UnreadableRecordError as UnreadableRecordError
from asyncauth._errors import VendorBusyError as VendorBusyError
from asyncauth._errors import VendorError as VendorError
from asyncauth._errors import VendorFailedError as VendorFailedError
from asyncauth._errors import VendorUnreachableError as VendorUnreachableError
from asyncauth._errors import WaitTimeoutError as WaitTimeoutError
from asyncauth._errors import WriteConflictError as WriteConflictError
from asyncauth._events import AuthorizationNeeded as AuthorizationNeeded
from asyncauth._events import RenewalFailed as RenewalFailed
from asyncauth._events import RenewalStarted as RenewalStarted
from asyncauth._events import TokenAdopted as TokenAdopted
from asyncauth._events import TokenDied as TokenDied
from asyncauth._events import TokenEvent as TokenEvent
from asyncauth._events import TokenForgotten as TokenForgotten
from asyncauth._events import TokenGivenUp as TokenGivenUp
from asyncauth._events import TokenRefused as TokenRefused
from asyncauth._events import TokenRenewed as TokenRenewed
from asyncauth._events import TokenRestored as TokenRestored
from asyncauth._key import TokenKey as TokenKey
from asyncauth._manager import TokenManager as TokenManager
from asyncauth._middleware import AuthMiddleware as AuthMiddleware
from asyncauth._open import open_store as open_store
from asyncauth._policy import RefreshPolicy as RefreshPolicy
from asyncauth._session import AuthSession as AuthSession
from asyncauth._token import Secret as Secret
from asyncauth._token import Token as Token
from asyncauth.abc import AuthScheme as AuthScheme
from asyncauth.abc import TokenStore as TokenStore

__all__ = [
    "AnswerLostError",
    "AuthError",
    "AuthMiddleware",
    "AuthScheme",
    "AuthSession",
    "AuthorizationNeeded",
    "AuthorizationRequiredError",
    "Clock",
    "ClosedError",
    "ConfigurationError",
    "CredentialRefusedError",
    "GrantRefusedError",
    "InsecureStoreError",
    "InsecureURLError",
    "LoggedOutError",
    "NotReplicatedError",
    "PlaintextRecordError",
    "RefreshPolicy",
    "RenewalFailed",
    "RenewalFailedError",
    "RenewalStarted",
    "Secret",
    "StoreError",
    "StoreUnavailableError",
    "TamperedRecordError",
    "Token",
    "TokenAdopted",
    "TokenDied",
    "TokenEvent",
    "TokenForgotten",
    "TokenGivenUp",
    "TokenKey",
    "TokenManager",
    "TokenRefused",
    "TokenRefusedError",
    "TokenRenewed",
    "TokenRestored",
    "TokenStore",
    "TokenUnavailableError",
    "UnknownKeyError",
    "UnreadableAnswerError",
    "UnreadableRecordError",
    "VendorBusyError",
    "VendorError",
    "VendorFailedError",
    "VendorUnreachableError",
    "WaitTimeoutError",
    "WriteConflictError",
    "open_store",
]

for _name in __all__:  # tracebacks, pickles and documentation show the public home
    globals()[_name].__module__ = __name__
