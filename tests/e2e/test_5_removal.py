"""The end: nothing that was made stays behind. Runs last; region us is gone afterwards."""

import pytest

from rivulet_scene.command import CommandError
from rivulet_scene.http import get
from rivulet_scene.region import NAMESPACE
from rivulet_scene.waiting import until
from scene import Cdn


@pytest.mark.timeout(300)
def test_helm_uninstall_ends_and_leaves_crs_and_media(cdn: Cdn) -> None:
    """O9: CRDs and CRs stay, media pods run on."""
    before = cdn.us.uids()
    cdn.us.helm("uninstall", "rivulet", "--wait")
    assert cdn.us.get("cdnnodes.rivulet.dev")
    assert cdn.us.uids() == before
    assert get(f"{cdn.us.door}/readyz").status == 200


@pytest.mark.timeout(300)
def test_the_namespace_goes_with_the_operator_already_gone(cdn: Cdn) -> None:
    """O9: within drain.seconds + 120 s (nobody watches there, so well before)."""
    drain = max(node["spec"]["drain"]["seconds"] for node in cdn.us.get("cdnnodes.rivulet.dev"))
    cdn.us.kubectl("delete", "namespace", NAMESPACE, "--wait=false", namespace="default")

    def gone() -> bool:
        try:
            cdn.us.kubectl("get", "namespace", NAMESPACE, namespace="default")
        except CommandError:
            return True
        return False

    until(gone, "namespace gone", seconds=drain + 120, pause=1)
