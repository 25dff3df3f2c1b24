from pathlib import Path

from rivulet_testbed import source_tree
from rivulet_testbed.source_tree import content_key, source_files


def checkout(tmp_path: Path) -> Path:
    for name in ("pkg/a.py", "pkg/__pycache__/a.pyc", "pkg/_e.abi3.so", "pkg/target/debug/x", "pkg/x.egg-info/y", "P"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_what_tools_made_is_no_source(tmp_path: Path) -> None:
    assert source_files(checkout(tmp_path), ("pkg", "P")) == [Path("P"), Path("pkg/a.py")]


def test_the_key_follows_names_content_and_further_inputs(tmp_path: Path) -> None:
    files = source_files(checkout(tmp_path), ("pkg", "P"))
    keys = [content_key(tmp_path, files), content_key(tmp_path, files, "base:2"), content_key(tmp_path, files[:1])]
    (tmp_path / "pkg/a.py").write_text("changed")
    keys.append(content_key(tmp_path, files))
    assert len(set(keys)) == 4


def test_a_mirror_holds_exactly_the_files_and_keeps_their_times(tmp_path: Path) -> None:
    source = checkout(tmp_path / "checkout")
    files = source_files(source, ("pkg", "P"))
    target = tmp_path / "mirror"
    source_tree.mirror(source, files, target)
    (target / "pkg/gone.py").write_text("deleted in the checkout")
    source_tree.mirror(source, files, target)
    assert source_files(target, ("pkg", "P")) == files
    assert (target / "P").stat().st_mtime == (source / "P").stat().st_mtime
