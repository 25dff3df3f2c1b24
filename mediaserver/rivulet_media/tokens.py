"""Publish and play tokens: JWTs signed with Ed25519 (RFC 8037), as docs/contract.md §2 describes them.

Whoever holds an issuer's private key lets people in; a region holds public halves only. Everything here is pure: the
time comes in as an argument, keys come in as PEM text and are parsed once, at the edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from jwt.types import Options

Action = Literal["publish", "play"]
ANY_STREAM: Final = "*"
_ALGORITHM: Final = "EdDSA"
# A subject travels in a header and stands in tables.
_LONGEST_SUBJECT: Final = 256
# JSON can say numbers that no clock reaches and no float holds, and what is no number at all.
_LATEST: Final = 1e12
# What PyJWT would hold against its own clock is held here against `now`; the shape of the claims is parsed here too.
_OURS_TO_CHECK: "Final[Options]" = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
}


class TokenError(Exception):
    """The caller's token does not let it in; `str()` says why, never quoting the token; `status` is for HTTP."""

    status: int = 401


class UnauthorizedError(TokenError):
    """No token, one that nobody we trust has signed, or one whose time is over (401)."""


class ForbiddenError(TokenError):
    """A good token, but for something else: another action or another stream (403)."""

    status = 403


class KeyTextError(ValueError):
    """A key is not the PEM text of an Ed25519 key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An issuer's two halves as PEM text (PKCS 8 without a passphrase, SubjectPublicKeyInfo)."""

    private_pem: str
    public_pem: str


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose signature counts: an entry of CDNRegion `spec.trust.issuers`."""

    name: str
    key: Ed25519PublicKey

    @classmethod
    def from_pem(cls, name: str, public_pem: str) -> "Issuer":
        """Parse `{name, publicKey}`. Raises KeyTextError."""
        try:
            key = serialization.load_pem_public_key(public_pem.strip().encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyTextError(f"the public key of issuer {name!r} is no PEM public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyTextError(f"the public key of issuer {name!r} is a {type(key).__name__}; Ed25519 is needed")
        return cls(name, key)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: who (`subject`) may do what (`action`) to which streams, and when (Unix seconds)."""

    subject: str
    action: Action
    streams: tuple[str, ...]
    expires: float
    issuer: str | None = None
    not_before: float | None = None

    def covers(self, stream: str) -> bool:
        """Whether the token speaks of this stream, by name or by `*`."""
        return ANY_STREAM in self.streams or stream in self.streams


def make_keys() -> KeyPair:
    """A fresh Ed25519 key pair."""
    private = Ed25519PrivateKey.generate()
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(private_pem.decode(), _public_pem(private))


def public_half(private_pem: str) -> str:
    """The public half (PEM) of a private key. Raises KeyTextError."""
    return _public_pem(_private_key(private_pem))


def sign(private_pem: str, claims: Claims) -> str:
    """The claims as a compact JWT. Raises KeyTextError."""
    payload: dict[str, Any] = {
        "sub": claims.subject,
        "action": claims.action,
        "stream": claims.streams[0] if len(claims.streams) == 1 else list(claims.streams),
        "exp": claims.expires,
    }
    if claims.issuer is not None:
        payload["iss"] = claims.issuer
    if claims.not_before is not None:
        payload["nbf"] = claims.not_before
    return jwt.encode(payload, _private_key(private_pem), algorithm=_ALGORITHM)


def verify(token: str, issuers: Sequence[Issuer], *, action: Action, stream: str, now: float) -> Claims:
    """The claims of a token that allows `action` on `stream` at `now`.

    Raises:
        UnauthorizedError: no token, unknown issuer, wrong signature, malformed claims, expired, not valid yet.
        ForbiddenError: the token is good, but for another action or other streams.
    """
    if not token:
        raise UnauthorizedError("no token was sent; send `Authorization: Bearer <token>`")
    claims = _parse(_signed_payload(token, issuers))
    if claims.expires <= now:
        raise UnauthorizedError(f"the token expired {now - claims.expires:.0f} s ago")
    if claims.not_before is not None and claims.not_before > now:
        raise UnauthorizedError(f"the token is valid only in {claims.not_before - now:.0f} s")
    if claims.action != action:
        raise ForbiddenError(f"the token is for action {claims.action!r}, not {action!r}")
    if not claims.covers(stream):
        raise ForbiddenError(f"the token does not cover stream {stream!r}")
    return claims


def _signed_payload(token: str, issuers: Sequence[Issuer]) -> Mapping[str, Any]:
    try:
        hinted = jwt.decode(token, options={"verify_signature": False})
        issuer = _issuer_named(hinted.get("iss"), issuers)
        payload: Mapping[str, Any] = jwt.decode(token, issuer.key, algorithms=[_ALGORITHM], options=_OURS_TO_CHECK)
    except jwt.InvalidSignatureError as error:
        raise UnauthorizedError("the token's signature does not fit the issuer's public key") from error
    except jwt.PyJWTError as error:
        raise UnauthorizedError(f"the token cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # bytes that are no text, numbers and depths beyond all reason
        raise UnauthorizedError("the token cannot be read") from error
    return payload


def _issuer_named(name: object, issuers: Sequence[Issuer]) -> Issuer:
    """The issuer that the token names; it may stay silent when there is only one."""
    if not issuers:
        raise UnauthorizedError("this region trusts no issuer of tokens (CDNRegion spec.trust.issuers is empty)")
    if name is None:
        if len(issuers) == 1:
            return issuers[0]
        raise UnauthorizedError("the token names no issuer (`iss`) and this region trusts several")
    for issuer in issuers:
        if issuer.name == name:
            return issuer
    raise UnauthorizedError("the token's issuer (`iss`) is not one that this region trusts")


def _parse(payload: Mapping[str, Any]) -> Claims:
    subject, issuer = payload.get("sub"), payload.get("iss")
    if not isinstance(subject, str) or not subject:
        raise UnauthorizedError("the token has no subject (`sub`)")
    if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
        raise UnauthorizedError(f"the token's `sub` is not one line of at most {_LONGEST_SUBJECT} printable characters")
    action = _action(payload.get("action"))
    expires = _time(payload, "exp")
    if expires is None:
        raise UnauthorizedError("the token has no expiry (`exp`)")
    return Claims(subject, action, _streams(payload.get("stream")), expires, issuer, _time(payload, "nbf"))


def _action(value: object) -> Action:
    if value == "publish":
        return "publish"
    if value == "play":
        return "play"
    raise UnauthorizedError("the token's `action` is neither `publish` nor `play`")


def _streams(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise UnauthorizedError("the token's `stream` is no name and no list of names")
    return tuple(names)


def _time(payload: Mapping[str, Any], claim: str) -> float | None:
    value = payload.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnauthorizedError(f"the token's `{claim}` is no number of seconds")
    if not abs(value) < _LATEST:
        raise UnauthorizedError(f"the token's `{claim}` is beyond all time")
    return float(value)


def _private_key(private_pem: str) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(private_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyTextError(f"this is no PEM private key without passphrase: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyTextError(f"the private key is a {type(key).__name__}; Ed25519 is needed")
    return key


def _public_pem(private: Ed25519PrivateKey) -> str:
    encoded = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()
