"""TLS of the edge: what it shows, whom it asks, and the names in a client's certificate."""

import ssl
from collections.abc import Sequence
from typing import Any, cast


def server_context(certificate: str, key: str | None, client_ca: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 and later. `client_ca`: clients may show a certificate, and one that this CA did not sign ends the
    handshake; whoever shows none is nobody yet. Blocks for the files. Raises OSError, naming them.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
    except OSError as error:
        raise OSError(f"{certificate}, {key or 'its key'}: {error.strerror or error}") from None
    if client_ca:
        try:
            made.load_verify_locations(client_ca)
        except OSError as error:
            raise OSError(f"{client_ca}: {error.strerror or error}") from None
        made.verify_mode = ssl.CERT_OPTIONAL
        made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def certified_names(found: Any) -> tuple[str, ...]:
    """The names in a certificate that was checked (`SSLObject.getpeercert`): URIs first, then the common name.

    >>> certified_names({"subject": ((("commonName", "runner_1"),),), "subjectAltName": (("URI", "urn:x:runner_2"),)})
    ('urn:x:runner_2', 'runner_1')
    """
    if not found:
        return ()
    alternatives = cast("Sequence[tuple[str, str]]", found.get("subjectAltName", ()))
    subject = cast("Sequence[Sequence[tuple[str, str]]]", found.get("subject", ()))
    uris = [value for kind, value in alternatives if kind == "URI"]
    common = [value for part in subject for name, value in part if name == "commonName"]
    return (*uris, *common)
