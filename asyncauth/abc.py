"""The contracts that others implement: `TokenStore` (where tokens are shared) and `AuthScheme`."""

from asyncauth._exchange import AuthRequest as AuthRequest
from asyncauth._exchange import AuthResponse as AuthResponse
from asyncauth._exchange import Placement as Placement
from asyncauth._scheme import AuthFlow as AuthFlow
from asyncauth._scheme import AuthScheme as AuthScheme
from asyncauth._scheme import Pace as Pace
from asyncauth._scheme import ResponseHead as ResponseHead
from asyncauth._scheme import Verdict as Verdict
from asyncauth._store import Liveness as Liveness
from asyncauth._store import Snapshot as Snapshot
from asyncauth._store import TokenStore as TokenStore
