"""Translate HTTP statuses and socket errors into the client's own exceptions."""

from __future__ import annotations

import json
import ssl

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ..errors import AuthError, CertificateError, ClientError, ConnectionFailedError, NoSuchSessionError
from ._place import Place

__all__ = ["as_client_error", "refused", "unreachable"]


def refused(place: Place, status: int, body: bytes) -> ClientError:
    """Return the error for an HTTP response whose status is not a success."""
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        text = f"HTTP status {status}"
    if status == 401:
        hint = "this token is not valid there" if place.token else "give a token: --token, or BUILDWIDGET_TOKEN"
        return AuthError(f"{place.base} refuses the request: {text} ({hint})")
    if status == 403:
        return AuthError(f"{place.base} refuses the request: {text}")
    if status == 404:
        return NoSuchSessionError(f"{place.base} has no session {place.session!r}: {text}")
    if status == 400:
        return ClientError(f"{place.base} rejects the request: {text}")
    return ConnectionFailedError(f"{place.base} answers: {text}")


def as_client_error(place: Place, error: BaseException) -> ClientError:
    """Return the client error that a socket or WebSocket exception amounts to."""
    if isinstance(error, ClientError):
        return error
    if isinstance(error, InvalidStatus):
        return refused(place, error.response.status_code, bytes(error.response.body or b""))
    if isinstance(error, ConnectionClosed):
        close = error.rcvd
        if close is not None and close.code == 4404:
            return NoSuchSessionError(f"{place.base} has no session {place.session!r}")
        if close is not None and close.code == 1008:
            return AuthError(f"{place.base} has closed the stream: {close.reason or 'policy'}")
        return ConnectionFailedError(
            f"{place.base} has closed the stream: {(close.reason or close.code) if close else 'the connection broke'}"
        )
    if isinstance(error, InvalidHandshake):
        return ConnectionFailedError(f"{place.base} is not a buildwidget server: {error}")
    if isinstance(error, TimeoutError):
        return ConnectionFailedError(f"{place.base} does not answer in time")
    return unreachable(place, error)


def unreachable(place: Place, error: object) -> ConnectionFailedError:
    """Return the error for a failed connection: TLS, DNS, or the network."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{place.base} presents a certificate that is not trusted here: {error.verify_message or error.reason}. "
            "If it is your own, name its PEM file (or that of its authority) in the variable SSL_CERT_FILE"
        )
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL"}:
        return CertificateError(f"{place.base} does not speak TLS; try its address with http:// instead of https://")
    return ConnectionFailedError(f"{place.base} cannot be reached: {error}")
