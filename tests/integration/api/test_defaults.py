"""What is left out is filled in as docs/resources.md says."""

from kube_api import KubeApi
from rivulet_api import stored


def test_p13_a_node_needs_role_and_region_and_gets_the_documented_defaults(kube: KubeApi) -> None:
    assert stored(kube, "CDNNode", "edge-elsewhere", {"role": "edge", "region": "eu"}) == {
        "role": "edge",
        "region": "eu",
        "exposure": "hostPort",
        "drain": {"seconds": 600},
    }


def test_a_part_of_capacity_is_completed(kube: KubeApi) -> None:
    spec = stored(kube, "CDNNode", "edge-elsewhere", {"role": "edge", "region": "eu", "capacity": {"viewers": 50}})
    assert spec["capacity"] == {"viewers": 50, "egressMbps": 1000, "mediaThreads": 0, "publisherMbps": 50}


def test_a_stream_needs_a_region_and_gets_the_documented_defaults(kube: KubeApi) -> None:
    assert stored(kube, "Stream", "s", {"region": "eu"}) == {
        "region": "eu",
        "source": {"publish": {}},
        "distribution": {"idleSeconds": 10, "transport": "udp"},
        "holdSeconds": 30,
        "codecs": ["h264", "vp8", "vp9", "av1", "h265"],
        "access": {"publish": "token", "play": "public"},
    }


def test_a_region_needs_a_host_and_gets_the_documented_defaults(kube: KubeApi) -> None:
    assert stored(kube, "CDNRegion", "elsewhere", {"host": "eu.example.com", "openPublishing": {}}) == {
        "host": "eu.example.com",
        "openPublishing": {"maxStreams": 100, "keepSeconds": 60},
        "originRelays": False,
        "balancer": {"enabled": False, "mode": "roundRobin", "nodeNames": False},
        "limits": {"requestsPerSecond": 0},
        "directors": {"replicas": 2, "serviceType": "ClusterIP"},
        "nodeDefaults": {"portRange": {"first": 7000, "last": 7999}},
    }
