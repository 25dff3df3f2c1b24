"""A pod's network for `make bench-fanout VIA=pod`: made of namespaces, the host's own network is left alone."""

import networks


def test_no_command_changes_anything_outside_of_the_three_namespaces() -> None:
    names = ("p", "m", "c")
    made: list[str] = []
    others: list[str] = []
    for command in networks.plan(*names):
        (made if command.startswith("ip netns add ") else others).append(command)
    assert made == [f"ip netns add {name}" for name in names]
    assert all(command.startswith(tuple(" ".join(networks.inside(name)) for name in names)) for command in others)


def test_the_pod_s_port_is_mapped_and_what_it_begins_is_masqueraded() -> None:
    commands = networks.plan("p", "m", "c")
    (mapped,) = (command for command in commands if "DNAT" in command)
    assert mapped.startswith("nsenter --net=/run/netns/m iptables")
    assert f"-d {networks.MACHINE} --dport {networks.MEDIA_PORT}" in mapped
    assert mapped.endswith(f"--to-destination {networks.POD}:{networks.MEDIA_PORT}")
    (masqueraded,) = (command for command in commands if "MASQUERADE" in command)
    assert f"-s {networks.POD_RANGE} ! -d {networks.POD_RANGE}" in masqueraded


def test_on_loopback_nothing_is_put_before_a_program() -> None:
    assert (networks.LOOPBACK.server_side, networks.LOOPBACK.client_side) == ((), ())
