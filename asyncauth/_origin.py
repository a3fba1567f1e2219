"""Where a token may go: https, or loopback, and only to origins that the scheme names."""

import ipaddress

from yarl import URL

from asyncauth._errors import ConfigurationError, InsecureURLError


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine's own (RFC 6761, section 6.3)."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_secure(url: URL) -> bool:
    """Tell whether a token may be sent there: https, or http to this machine."""
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))


def secure_url(value: str | URL) -> URL:
    """Return an absolute URL that a token may be sent to.

    Raises:
        ConfigurationError: It is not an absolute http(s) URL, or it holds a user or password.
        InsecureURLError: It is http and the host is not loopback.
    """
    try:
        url = URL(value)
    except (ValueError, TypeError):
        # The parser's own message may quote the text, and the text may hold credentials.
        raise ConfigurationError("that is no URL: one such as https://vendor.example/api is needed") from None
    if url.host is None or url.scheme not in {"http", "https"}:
        raise ConfigurationError("an absolute URL is needed, such as https://vendor.example/api")
    if url.user is not None or url.password is not None:
        raise ConfigurationError(f"the URL of {url.host} holds credentials; pass them as arguments")
    if not is_secure(url):
        raise InsecureURLError(
            f"http://{url.host} would show tokens to the network: use https (http is for loopback)"
        )
    return url
