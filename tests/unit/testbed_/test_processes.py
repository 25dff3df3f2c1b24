from pathlib import Path

import pytest

from rivulet_testbed.processes import Program, Record, is_alive, launch_argv, parse_record, parse_stat, read_record


def test_a_programs_name_with_spaces_and_brackets_does_not_shift_the_fields() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert parse_stat(f"7 (a) b (c) S {fields}") == ("S", 22)


@pytest.mark.parametrize(
    ("text", "record"),
    [("12 345\n", Record(12, 345)), ("", None), ("12", None), ("12 x", None)],
    ids=["whole", "empty", "half written", "garbage"],
)
def test_only_a_whole_record_counts(text: str, record: Record | None) -> None:
    assert parse_record(text) == record


def test_nobody_is_alive_without_a_record_or_with_anothers_start_time(tmp_path: Path) -> None:
    assert not is_alive(read_record(tmp_path / "none"))
    assert not is_alive(Record(1, 2**40))


def test_a_process_joins_its_cgroup_and_leaves_its_record_before_it_becomes_the_program() -> None:
    program = Program("p", ("prog", "--x"), Path("/r/p.pid"), Path("/l"), netns="rv-eu", cgroup_procs=Path("/cg/procs"))
    argv = launch_argv(program)
    assert argv[:3] == ["nsenter", "--net=/run/netns/rv-eu", "sh"]
    assert argv[-5:] == ["launch", "/cg/procs", "/r/p.pid", "prog", "--x"]
    script = argv[4]
    assert script.index("$cgroup") < script.index("$record") < script.index("exec")
