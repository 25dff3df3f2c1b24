import os
import shutil

import pytest

import network


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(network.INSIDE, raising=False)

    def began_again(*words: object) -> None:
        raise AssertionError(words)

    monkeypatch.setattr(os, "execvpe", began_again)


def test_without_root_there_is_no_network_to_lose_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda program: f"/sbin/{program}")
    with pytest.raises(network.NoNetworkError, match=r"need root$"):
        network.enter(0.5)


def test_without_iptables_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "iptables" else f"/sbin/{program}")
    with pytest.raises(network.NoNetworkError, match=r"need iptables$"):
        network.enter(0.5)


def test_inside_the_run_goes_on_and_knows_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(network.INSIDE, "0.5")
    network.enter(0.5)
    assert network.loss() == 0.005
