from pathlib import Path

from rivulet_chart import render

CHECKOUT = render.ROOT


def test_the_chart_holds_the_definitions_of_crds() -> None:
    expected = render.crd_files(CHECKOUT)
    assert sorted(path.name for path in expected) == ["cdnnodes.yaml", "cdnregions.yaml", "streams.yaml"]
    assert render.stale(CHECKOUT, expected) == []
    assert render.surplus(CHECKOUT, expected) == []


def test_a_changed_definition_makes_its_copy_stale_until_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "things.yaml").write_text("a: 1\n")
    copy = render.CHART / "crd-files" / "things.yaml"
    assert render.stale(tmp_path, render.crd_files(tmp_path)) == [copy]
    render.write(tmp_path, render.crd_files(tmp_path))
    assert render.stale(tmp_path, render.crd_files(tmp_path)) == []
    (tmp_path / "crds" / "things.yaml").write_text("a: 2\n")
    assert render.stale(tmp_path, render.crd_files(tmp_path)) == [copy]


def test_a_definition_that_is_gone_leaves_no_copy(tmp_path: Path) -> None:
    left = tmp_path / render.CHART / "crd-files" / "gone.yaml"
    left.parent.mkdir(parents=True)
    left.write_text("a: 1\n")
    assert render.surplus(tmp_path, {}) == [render.CHART / "crd-files" / "gone.yaml"]
    render.write(tmp_path, {})
    assert not left.exists()
