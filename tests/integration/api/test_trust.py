"""The command that the guide shows for a first publisher."""

from kube_api import KubeApi
from rivulet_api import GROUP, create
from rivulet_media.token_command import trust_entry
from rivulet_media.tokens import make_keys


def test_what_the_token_command_prints_patches_a_region(kube: KubeApi) -> None:
    assert create(kube, "CDNRegion", "trusting", {"host": "eu.example.com"}, dry=False).ok
    public_pem = make_keys().public_pem
    kube.kubectl("patch", "cdnregion", "trusting", "--type=merge", "-p", trust_entry("local", public_pem))
    spec = kube.request("GET", f"{GROUP}/cdnregions/trusting").body["spec"]
    assert spec["trust"]["issuers"] == [{"name": "local", "publicKey": public_pem.strip()}]
