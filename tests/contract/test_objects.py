"""§1, §2, §10: names of labels, annotations, Secrets, Services and ports: docs/contract.md's and both sides'."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rivulet_media.director import resources
from rivulet_media.table import Incarnation, Region, Slot, StreamName
from rivulet_operator import settings as operator_settings
from rivulet_operator.manifests import director, media, secrets
from rivulet_operator.model import labels
from rivulet_operator.model import region as regions
from rivulet_operator.model.kinds import GROUP, VERSION

if TYPE_CHECKING:
    from tests.contract.conftest import Contract

LABELS = (labels.NAME, labels.COMPONENT, labels.MANAGED_BY, labels.REGION, labels.NODE, labels.SLOT, labels.ROLE)
ANNOTATIONS = (labels.REVISION, labels.TEMPLATE, labels.MEDIA_PORT, labels.DRAIN, labels.DRAIN_FOR)


def names(text: str) -> set[str]:
    """Names with a domain, without the value that may follow."""
    return set(re.findall(r"`((?:rivulet\.dev|app\.kubernetes\.io)/[a-z-]+)", text))


def test_labels_and_annotations_are_the_contracts(contract: Contract) -> None:
    assert names(contract.paragraph("10", "Labels on everything made")) == {*LABELS, labels.AUTO}
    assert names(contract.paragraph("10", "Annotations on a slot's Deployment")) == set(ANNOTATIONS)
    said = contract.paragraph("10", "Labels on everything made")
    assert f"`{labels.MANAGED_BY}: {labels.OPERATOR}`" in said
    for reason in (labels.SCALE_DOWN, labels.ROLLOUT):
        assert f"`{reason}`" in contract.paragraph("10", "Annotations on a slot's Deployment")
    managers = contract.paragraph("10", "API group")
    assert f"`{GROUP}/{VERSION}`" in managers
    assert f"`{labels.OPERATOR}`" in managers
    assert f"`{labels.SCALER}`" in managers


def test_secrets_are_the_contracts(contract: Contract) -> None:
    tokens = contract.section("2")
    for wanted in secrets.WANTED:
        assert f"Secret `{wanted.name}`, key `{wanted.key}`" in tokens
    assert set(contract.code(contract.paragraph("10", "| secrets"))) == {wanted.name for wanted in secrets.WANTED}
    assert "Secret `mesh-PEER`, key `token`" in tokens
    assert secrets.mesh_secret("PEER") == "mesh-PEER"


def test_the_secrets_that_a_director_reads_are_those_it_has_the_right_to(contract: Contract) -> None:
    """The operator's Role names it; the director's reader knows it by the same prefix and key."""
    owner = {"metadata": {"name": "eu", "namespace": "cdn", "uid": "1"}, "spec": {"host": "eu.example"}}
    rules = director.access(regions.parse({"kind": "CDNRegion", **owner}), [secrets.mesh_secret("us"), "pull-cdn"])[1][
        "rules"
    ]
    (names_open,) = (rule["resourceNames"] for rule in rules if rule["resources"] == ["secrets"])
    secret = {"kind": "Secret", "metadata": {"name": names_open[0]}, "data": {"token": "dG9rZW4="}}
    assert resources.parse_documents([secret], fresh=True).resources.mesh_tokens == {"us": "token"}
    pulled = {**secret, "metadata": {"name": names_open[1]}}
    assert resources.parse_documents([pulled], fresh=True).resources.pull_secrets == {"pull-cdn": {"token": "token"}}
    assert "`mesh-*`" in contract.section("10")


def test_services_are_the_contracts(contract: Contract) -> None:
    row = contract.paragraph("10", "| directors")
    assert {director.NAME, director.INTERNAL, director.HEADLESS} <= set(contract.code(row))
    variables = contract.section("10")
    assert f"`{media.ENTRY}`" in variables
    assert f"`{media.TOKEN_FILE}`" in variables
    assert f"`dns://{director.HEADLESS}:{director.INTERNAL_PORT}`" in variables
    assert f"http://{director.INTERNAL}:{director.INTERNAL_PORT}" == media.ENTRY


def test_ports_are_the_contracts(contract: Contract) -> None:
    line = contract.section("1").split("Ports (")[1]
    for what, port in (
        ("node signalling", media.HTTP_PORT),
        ("director public", director.PUBLIC_PORT),
        ("director internal", director.INTERNAL_PORT),
        ("operator probes", operator_settings.Settings.probe_port),
    ):
        assert f"{what} **{port}**" in line.replace("\n", " ")


def test_forms_of_names_are_the_contracts(contract: Contract) -> None:
    rows = contract.section("1")

    def pattern(kind: Any) -> str:
        return str(kind.__metadata__[0].pattern)

    assert f"| region | `{pattern(Region)}` |" in rows
    assert f"| stream | `{pattern(StreamName)}` |" in rows
    assert operator_settings.REGION.pattern == pattern(Region)
    assert re.fullmatch(pattern(Incarnation), "3f9c0a11be42")
    assert re.fullmatch(pattern(Slot), "edge-eu-0")
