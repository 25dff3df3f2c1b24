import base64

from rivulet_media.director.resources import parse_documents
from rivulet_media.table import StreamName
from rivulet_media.tokens import make_keys


def stream(name: str, published: StreamName, created: str, **spec: object) -> dict[str, object]:
    return {
        "kind": "Stream",
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"name": published, "region": "eu", **spec},
    }


def test_of_two_streams_with_one_name_the_older_has_it() -> None:
    twins = [stream("b", "x", "2026-01-02T00:00:00Z"), stream("a", "x", "2026-01-03T00:00:00Z")]
    for documents in (twins, twins[::-1]):
        assert parse_documents(documents, fresh=True).resources.streams["x"].metadata.name == "b"


def test_a_stream_says_its_policy_and_its_region() -> None:
    document = stream("a", "x", "", holdSeconds=5, codecs=["vp8"], distribution={"idleSeconds": 2, "transport": "tcp"})
    resources = parse_documents([document], fresh=True).resources
    policy = resources.streams["x"].policy
    assert (policy.hold_seconds, policy.codecs, policy.idle_seconds) == (5.0, ("vp8",), 2.0)
    assert (
        policy.transport,
        parse_documents([stream("a", "x", "")], fresh=True).resources.streams["x"].policy.transport,
    ) == ("tcp", "udp")
    assert [item.stream for item in resources.declared_in("eu")] == ["x"]
    assert resources.stream_in("x", "us") is None


def test_the_first_of_several_regions_publishes() -> None:
    document = {"kind": "Stream", "metadata": {"name": "a"}, "spec": {"regions": ["us", "eu"]}}
    assert parse_documents([document], fresh=True).resources.streams["a"].region == "us"


def test_what_makes_no_sense_is_left_out_and_named() -> None:
    good = stream("a", "x", "")
    bad = {"kind": "CDNNode", "metadata": {"name": "n"}, "spec": {"role": "wizard", "region": "eu"}}
    parsed = parse_documents([bad, good, {"kind": "Pod"}, {}], fresh=True)
    assert list(parsed.resources.streams) == ["x"]
    assert len(parsed.problems) == 1
    assert parsed.problems[0].startswith("CDNNode n: spec.role: must be one of")


def test_mesh_tokens_come_from_secrets_in_either_form() -> None:
    data = {"token": base64.b64encode(b"secret\n").decode()}
    documents = [
        {"kind": "Secret", "metadata": {"name": "mesh-us"}, "data": data},
        {"kind": "Secret", "metadata": {"name": "mesh-ap"}, "stringData": {"token": "plain"}},
        {"kind": "Secret", "metadata": {"name": "mesh-xx"}, "data": {"token": "%%%"}},
        {"kind": "Secret", "metadata": {"name": "other"}, "stringData": {"token": "no"}},
    ]
    assert parse_documents(documents, fresh=True).resources.mesh_tokens == {"us": "secret", "ap": "plain"}


def test_an_issuer_whose_key_cannot_be_read_signs_nothing() -> None:
    issuers = [{"name": "good", "publicKey": make_keys().public_pem}, {"name": "bad", "publicKey": "x"}]
    spec = {"host": "h", "trust": {"issuers": issuers}}
    parsed = parse_documents([{"kind": "CDNRegion", "metadata": {"name": "eu"}, "spec": spec}], fresh=True)
    assert [issuer.name for issuer in parsed.resources.regions["eu"].issuers()] == ["good"]


def test_only_ready_turn_servers_of_the_region_count() -> None:
    slots = [
        {"name": "t-0", "address": "192.0.2.1", "port": 3478, "ready": True},
        {"name": "t-1", "address": "192.0.2.2", "port": 3478, "ready": False},
        {"name": "t-2", "ready": True},
    ]
    node = {
        "kind": "CDNNode",
        "metadata": {"name": "t"},
        "spec": {"role": "turn", "region": "eu"},
        "status": {"slots": slots},
    }
    resources = parse_documents([node], fresh=True).resources
    assert [slot.name for slot in resources.turn_slots("eu")] == ["t-0"]
    assert resources.turn_slots("us") == ()
