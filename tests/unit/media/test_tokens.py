import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from rivulet_media.tokens import (
    Claims,
    ForbiddenError,
    Issuer,
    KeyTextError,
    TokenError,
    UnauthorizedError,
    make_keys,
    public_half,
    sign,
    verify,
)

NOW = 1_795_252_000.0
OURS, OTHERS = make_keys(), make_keys()
STUDIO = Issuer.from_pem("studio", OURS.public_pem)
PARTNER = Issuer.from_pem("partner", OTHERS.public_pem)
CLAIMS = Claims("camera-1", "publish", ("test_eu",), NOW + 60)


def raw(**claims: object) -> str:
    payload = {"sub": "camera-1", "action": "publish", "stream": "test_eu", "exp": NOW + 60, **claims}
    present = {name: value for name, value in payload.items() if value is not ...}
    return jwt.encode(present, OURS.private_pem, algorithm="EdDSA")


def test_what_was_signed_is_what_verify_returns() -> None:
    claims = Claims("camera-1", "publish", ("a", "b"), NOW + 60, "studio", NOW - 1)
    assert verify(sign(OURS.private_pem, claims), [STUDIO], action="publish", stream="b", now=NOW) == claims


def test_a_star_covers_every_stream() -> None:
    token = sign(OURS.private_pem, Claims("camera-1", "play", ("*",), NOW + 60))
    assert verify(token, [STUDIO], action="play", stream="anything", now=NOW).streams == ("*",)


def test_the_public_half_of_a_private_key_is_the_one_that_was_made_with_it() -> None:
    assert public_half(OURS.private_pem) == OURS.public_pem


def test_the_named_issuer_s_key_is_the_one_that_counts() -> None:
    token = sign(OTHERS.private_pem, Claims("camera-1", "publish", ("test_eu",), NOW + 60, "partner"))
    assert verify(token, [STUDIO, PARTNER], action="publish", stream="test_eu", now=NOW).issuer == "partner"


@pytest.mark.parametrize(
    ("token", "issuers", "said"),
    [
        pytest.param("", [STUDIO], "no token", id="absent"),
        pytest.param("rubbish", [STUDIO], "cannot be read", id="no JWT"),
        pytest.param(sign(OTHERS.private_pem, CLAIMS), [STUDIO], "signature", id="signed by a stranger"),
        pytest.param(
            sign(OTHERS.private_pem, Claims("c", "publish", ("test_eu",), NOW + 60, "studio")),
            [STUDIO, PARTNER],
            "signature",
            id="signed by another issuer than it names",
        ),
        pytest.param(raw(iss="nobody"), [STUDIO], "issuer", id="unknown issuer"),
        pytest.param(raw(), [STUDIO, PARTNER], "names no issuer", id="silent about one of several issuers"),
        pytest.param(raw(), [], "trusts no issuer", id="nobody is trusted"),
        pytest.param(raw(exp=NOW), [STUDIO], "expired", id="expires this very moment"),
        pytest.param(raw(exp=NOW - 3600), [STUDIO], "expired 3600 s ago", id="expired"),
        pytest.param(raw(exp=...), [STUDIO], "no expiry", id="never expires"),
        pytest.param(raw(exp="tomorrow"), [STUDIO], "`exp`", id="expiry in words"),
        pytest.param(raw(exp=10**400), [STUDIO], "`exp`", id="expiry that no float holds"),
        pytest.param(raw(exp=float("nan")), [STUDIO], "`exp`", id="expiry that is no number"),
        pytest.param(raw(exp=float("inf")), [STUDIO], "`exp`", id="expiry at no time"),
        pytest.param(raw(nbf=-(10**400)), [STUDIO], "`nbf`", id="a beginning that no float holds"),
        pytest.param(
            b"\xff.b.c".decode(errors="surrogateescape"), [STUDIO], "cannot be read", id="bytes that are no text"
        ),
        pytest.param(raw(nbf=NOW + 10), [STUDIO], "in 10 s", id="not valid yet"),
        pytest.param(raw(sub=...), [STUDIO], "`sub`", id="no subject"),
        pytest.param(raw(action="record"), [STUDIO], "`action`", id="an action that does not exist"),
        pytest.param(raw(stream=...), [STUDIO], "`stream`", id="no stream"),
        pytest.param(raw(stream=[1]), [STUDIO], "`stream`", id="a stream that is a number"),
        pytest.param(jwt.encode({"sub": "x"}, "s" * 32, "HS256"), [STUDIO], "cannot be read", id="a shared secret"),
        pytest.param(jwt.encode({"sub": "x"}, "", "none"), [STUDIO], "cannot be read", id="algorithm none"),
    ],
)
def test_a_token_that_proves_nothing_is_401(token: str, issuers: list[Issuer], said: str) -> None:
    with pytest.raises(UnauthorizedError, match=said) as caught:
        verify(token, issuers, action="publish", stream="test_eu", now=NOW)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(raw(action="play"), id="for another action"),
        pytest.param(raw(stream="test_us"), id="for another stream"),
        pytest.param(raw(stream=["a", "b"]), id="for other streams"),
    ],
)
def test_a_good_token_for_something_else_is_403(token: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        verify(token, [STUDIO], action="publish", stream="test_eu", now=NOW)
    assert caught.value.status == 403


def test_a_refusal_never_quotes_the_token() -> None:
    token = raw(exp=NOW - 1)
    with pytest.raises(TokenError) as caught:
        verify(token, [STUDIO], action="publish", stream="test_eu", now=NOW)
    assert token not in str(caught.value)


def test_a_key_that_is_no_ed25519_key_is_refused_where_it_is_read() -> None:
    curve = generate_private_key(SECP256R1())
    public = curve.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(KeyTextError, match="Ed25519"):
        Issuer.from_pem("studio", public.decode())
    with pytest.raises(KeyTextError, match="no PEM"):
        Issuer.from_pem("studio", "not a key")
    with pytest.raises(KeyTextError):
        sign("not a key", CLAIMS)
