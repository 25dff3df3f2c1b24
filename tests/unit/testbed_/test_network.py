from rivulet_testbed import network
from rivulet_testbed.allocation import Testbed
from rivulet_testbed.places import Place

EU = Place("rv", "eu", 0, 2)
NSK = Place("rv", "nsk", 2, 0, mtu=1280)


def commands(steps: list[network.Step]) -> list[str]:
    return [" ".join(step.argv) for step in steps]


def test_a_node_routes_to_the_pods_of_its_region_and_hides_them_from_the_world() -> None:
    inside = "nsenter --net=/run/netns/rv-eu"
    plan = commands(network.node_plan(EU, EU.nodes[0]))
    assert f"{inside} ip route replace 10.244.2.0/24 via 172.30.0.3" in plan
    assert f"{inside} ip route replace unreachable 10.244.0.0/16" in plan
    assert plan[-1].endswith("-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -o eth0 -j MASQUERADE")


def test_a_bare_place_has_no_pods_and_its_own_mtu() -> None:
    plan = commands(network.node_plan(NSK, NSK.nodes[0]))
    assert not [command for command in plan if "10.244" in command]
    assert "ip link add rv-nsk.1 mtu 1280 type veth peer name eth0 mtu 1280 netns rv-nsk" in plan


def test_only_what_goes_from_place_to_place_enters_the_wan() -> None:
    plan = commands(network.wan_route_plan(Testbed("rv", 4, (EU, NSK))))
    assert plan[2:] == [
        "ip route replace unreachable default table 7704",
        "ip route replace 172.30.0.0/24 dev rv-wan table 7704",
        "ip rule add pref 7704 from all iif rv-eu lookup 7704",
        "ip route replace 172.30.2.0/24 dev rv-wan table 7704",
        "ip rule add pref 7704 from all iif rv-nsk lookup 7704",
    ]


def test_the_hosts_global_settings_are_not_touched() -> None:
    plan = commands([*network.bridge_plan(EU), *network.wan_route_plan(Testbed("rv", 0, (EU,)))])
    assert not [c for c in plan if "conf.all" in c or "conf.default" in c or "ip_forward" in c]


def test_an_existing_rule_is_recognised_by_priority_and_bridge() -> None:
    listing = "0:\tfrom all lookup local\n7701:\tfrom all iif rv-eu lookup 7701\n32766:\tfrom all lookup main\n"
    assert network.has_rule(listing, 7701, "rv-eu")
    assert not network.has_rule(listing, 7701, "rv-e")
    assert not network.has_rule(listing, 7700, "rv-eu")


def test_every_step_that_adds_knows_how_to_see_that_it_is_done() -> None:
    plans = [*network.bridge_plan(EU), *network.node_plan(EU, EU.nodes[0]), *network.forward_plan("rv")]
    adding = [step for step in plans if {"add", "-A", "-I"} & set(step.argv)]
    assert adding
    assert all(step.unless for step in adding)
