"""What makes no sense is refused by the API server, with a sentence that says what to do."""

import pytest

from kube_api import KubeApi
from rivulet_api import Spec, create, stored

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
TAKEN: dict[str, tuple[str, str, Spec]] = {
    "address as host": ("CDNRegion", "eu", {"host": "203.0.113.10:30080"}),
    "IPv6 host": ("CDNRegion", "eu", {"host": "[2001:db8::1]:30080"}),
    "names of nodes": ("CDNRegion", "eu", {"host": "eu.example.com:443", "balancer": {"nodeNames": True}}),
    "address map": (
        "CDNRegion",
        "eu",
        {"host": "h", "nodeDefaults": {"addressMap": {"worker-1": "203.0.113.10", "worker-2": "2001:db8::1"}}},
    ),
    "several addresses": (
        "CDNRegion",
        "eu",
        {"host": "h", "nodeDefaults": {"addressMap": {"w": "203.0.113.10,2001:db8::1, 198.51.100.1,::ffff:192.0.2.1"}}},
    ),
    "four long addresses": (
        "CDNRegion",
        "eu",
        {
            "host": "h",
            "nodeDefaults": {"addressMap": {"w": ", ".join(["0000:0000:0000:0000:0000:ffff:192.168.100.228"] * 4)}},
        },
    ),
    "issuer": ("CDNRegion", "eu", {"host": "h", "trust": {"issuers": [{"name": "a", "publicKey": PUBLIC_KEY}]}}),
    "resources": (
        "CDNNode",
        "n",
        {"role": "edge", "region": "eu", "pod": {"resources": {"limits": {"cpu": 2, "memory": "1.5Gi"}}}},
    ),
    "R21: 128 characters": ("Stream", "s", {"region": "eu", "name": ("Fair_Name.With-Capitals_" + "x" * 128)[:128]}),
    "regions": ("Stream", "s", {"regions": ["eu", "us"]}),
    "pulled": (
        "Stream",
        "s",
        {"region": "eu", "source": {"pull": {"url": "http://[2001:db8::1]:8080/whep/s?token=a@b"}}},
    ),
    "pulled with a token": (
        "Stream",
        "s",
        {
            "region": "eu",
            "source": {
                "pull": {"url": "https://cdn.example", "secretRef": {"name": "pull-cdn.example", "key": "token"}}
            },
        },
    ),
    "scaled to nothing": ("CDNNode", "n", {"role": "edge", "region": "eu", "replicas": 0}),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_makes_sense_is_taken(kube: KubeApi, case: str) -> None:
    assert stored(kube, *TAKEN[case])


def pulled(url: str, **more: object) -> tuple[str, str, Spec]:
    """A Stream that is pulled from there."""
    return "Stream", "s", {"region": "eu", "source": {"pull": {"url": url, **more}}}


EDGE: Spec = {"role": "edge", "region": "eu"}
HOST: Spec = {"host": "eu.example.com"}
REFUSED: dict[str, tuple[str, str, Spec, str]] = {
    "region's name": ("CDNRegion", "1-eu", HOST, "the name of a CDNRegion is the region's name: at most 32"),
    "no host": ("CDNRegion", "eu", {}, "spec.host: Required value"),
    "host with scheme": ("CDNRegion", "eu", {"host": "http://eu.example.com"}, "leave out http:// and any path"),
    "host with a path": ("CDNRegion", "eu", {"host": "eu.example.com/live"}, "leave out http:// and any path"),
    "host with a blank": ("CDNRegion", "eu", {"host": "eu example"}, "as in eu.example.com, eu.example.com:30080"),
    "mesh without port": ("CDNRegion", "eu", {**HOST, "mesh": {"address": "eu"}}, "mesh.address is host:port"),
    "mesh at the front door": (
        "CDNRegion",
        "eu",
        {"host": "h:30080", "mesh": {"address": "h:30080"}},
        "give the address of the internal listener",
    ),
    "private key": (
        "CDNRegion",
        "eu",
        {**HOST, "trust": {"issuers": [{"name": "a", "publicKey": PUBLIC_KEY.replace("PUBLIC", "PRIVATE")}]}},
        "make a new pair, keep the private half with the signer",
    ),
    "no PEM": (
        "CDNRegion",
        "eu",
        {**HOST, "trust": {"issuers": [{"name": "a", "publicKey": "MCow"}]}},
        "print one with rivulet-media token --public",
    ),
    "one issuer twice": (
        "CDNRegion",
        "eu",
        {**HOST, "trust": {"issuers": [{"name": "a", "publicKey": PUBLIC_KEY}] * 2}},
        "Duplicate value",
    ),
    "ports without a Service for them": (
        "CDNRegion",
        "eu",
        {**HOST, "directors": {"publicNodePort": 30080}},
        "set directors.serviceType, or leave the ports out",
    ),
    "one port for two listeners": (
        "CDNRegion",
        "eu",
        {**HOST, "directors": {"serviceType": "NodePort", "publicNodePort": 30080, "internalNodePort": 30080}},
        "give each its own",
    ),
    "names before an address": (
        "CDNRegion",
        "eu",
        {"host": "203.0.113.10:80", "balancer": {"nodeNames": True}},
        "set host to a DNS name with a wildcard record",
    ),
    "range backwards": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"portRange": {"first": 7999, "last": 7000}}},
        "swap them",
    ),
    "range over 8080": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"portRange": {"first": 8000, "last": 8999}}},
        "choose a range without these two",
    ),
    "map to a name": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"addressMap": {"worker-1": "host.example.com"}}},
        "to an IP address without a port",
    ),
    "map to an address and a name": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"addressMap": {"worker-1": "203.0.113.10,host.example.com"}}},
        "to several with commas between them, as in 203.0.113.10,2001:db8::10",
    ),
    "map to addresses with blanks between them": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"addressMap": {"worker-1": "203.0.113.10 2001:db8::10"}}},
        "to several with commas between them, as in 203.0.113.10,2001:db8::10",
    ),
    "map to an address and nothing": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"addressMap": {"worker-1": "203.0.113.10,"}}},
        "to several with commas between them, as in 203.0.113.10,2001:db8::10",
    ),
    "map to five addresses": (
        "CDNRegion",
        "eu",
        {**HOST, "nodeDefaults": {"addressMap": {"worker-1": ",".join(["203.0.113.10"] * 5)}}},
        "a host has at most four addresses: leave the others out",
    ),
    "node's name with a dot": ("CDNNode", "edge.eu", EDGE, "at most 50 characters, no dots"),
    "node's name too long": ("CDNNode", "e" * 51, EDGE, "at most 50 characters, no dots"),
    "no role": ("CDNNode", "n", {"region": "eu"}, "spec.role: Required value"),
    "unknown role": ("CDNNode", "n", {**EDGE, "role": "relay"}, 'supported values: "origin"'),
    "transcoder": ("CDNNode", "n", {**EDGE, "role": "transcoder"}, "does not exist yet"),
    "TURN with capacity": ("CDNNode", "n", {"role": "turn", "region": "eu", "capacity": {}}, "leave it out"),
    "drain too long": ("CDNNode", "n", {**EDGE, "drain": {"seconds": 3600}}, "drain.seconds is at most 3500"),
    "fewer than none": ("CDNNode", "n", {**EDGE, "replicas": -1}, "greater than or equal to 0"),
    "exposure to come": ("CDNNode", "n", {**EDGE, "exposure": "loadBalancer"}, 'supported values: "hostPort"'),
    "misspelt field": ("CDNNode", "n", {**EDGE, "replica": 2}, 'unknown field "spec.replica"'),
    "quantity": ("CDNNode", "n", {**EDGE, "pod": {"resources": {"limits": {"memory": "much"}}}}, "spec.pod.resources"),
    "no region": ("Stream", "s", {}, "set region to the name of a CDNRegion"),
    "region and regions": ("Stream", "s", {"region": "eu", "regions": ["us"]}, "region and regions are both set"),
    "region twice": ("Stream", "s", {"regions": ["eu", "eu"]}, "name each once, in order of fail-over"),
    "name with a slash": ("Stream", "s", {"region": "eu", "name": "live/s"}, "letters, digits, dots, underscores"),
    "name too long": ("Stream", "s", {"region": "eu", "name": "x" * 129}, "Too long"),
    "object's name too long": ("Stream", "s" * 129, {"region": "eu"}, "set spec.name, or shorten metadata.name"),
    "pulled from nowhere": (
        "Stream",
        "s",
        {"region": "eu", "source": {"pull": {}}},
        "pull.url: Required value",
    ),
    "pulled by another protocol": (*pulled("rtsp://cdn.example/s"), "url begins with http:// or https:// and a host"),
    "pulled from no host": (*pulled("https:///whep/s"), "url begins with http:// or https:// and a host"),
    "password in a URL": (
        *pulled("https://me:secret@cdn.example/s"),
        "a token stands in a Secret, which",
    ),
    "any Secret's token": (
        *pulled("https://cdn.example/s", secretRef={"name": "rivulet-join", "key": "token"}),
        "begins with pull-",
    ),
    "Secret without a key": (
        *pulled("https://cdn.example/s", secretRef={"name": "pull-cdn"}),
        "secretRef.key: Required value",
    ),
    "published and pulled": (
        "Stream",
        "s",
        {"region": "eu", "source": {"publish": {}, "pull": {"url": "https://cdn.example/s"}}},
        "publish and pull are both set",
    ),
    "empty source": ("Stream", "s", {"region": "eu", "source": {}}, "or leave source out"),
    "codec twice": ("Stream", "s", {"region": "eu", "codecs": ["vp8", "vp8"]}, "codecs names a codec twice"),
    "unknown codec": ("Stream", "s", {"region": "eu", "codecs": ["mpeg2"]}, 'Unsupported value: "mpeg2"'),
    "no codec": ("Stream", "s", {"region": "eu", "codecs": []}, "at least 1 items"),
    "access": ("Stream", "s", {"region": "eu", "access": {"publish": "anyone"}}, 'supported values: "token", "open"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_a_sentence_that_says_what_to_do(kube: KubeApi, case: str) -> None:
    kind, name, spec, sentence = REFUSED[case]
    answer = create(kube, kind, name, spec)
    assert answer.status in {400, 422}, answer.body
    assert sentence in answer.message
