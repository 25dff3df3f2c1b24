import pytest

from rivulet_scene.region import from_contexts


def test_any_two_clusters_can_be_the_regions() -> None:
    found = from_contexts("eu=kind-eu@172.18.0.2, us=admin@corp@10.1.2.3,asia=x@1.2.3.4", ["eu", "us"])
    assert {name: (region.address, region.kubectl_argv[1:], region.place) for name, region in found.items()} == {
        "eu": ("172.18.0.2", ("--context", "kind-eu"), None),
        "us": ("10.1.2.3", ("--context", "admin@corp"), None),
    }
    assert found["us"].helm_argv[1:] == ("--kube-context", "admin@corp")
    assert found["us"].door == "http://10.1.2.3:30080"


@pytest.mark.parametrize(
    "text", ["eu=kind-eu@172.18.0.2", "eu=kind-eu@172.18.0.2,us=kind-us", "us=@1.2.3.4,eu=a@b", "junk"]
)
def test_what_is_missing_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="=CONTEXT@ADDRESS"):
        from_contexts(text, ["eu", "us"])
