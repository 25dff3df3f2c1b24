"""The node: what it says of socket buffers that the kernel has cut."""

import logging

import pytest

from rivulet_media.node import mind_buffers


def test_buffers_that_the_kernel_has_cut_are_said_with_the_setting_that_helps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        mind_buffers([("net.core.wmem_max", 8_388_608, 212_992), ("net.core.rmem_max", 8_388_608, 212_992)])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    said = caplog.records[0].getMessage()
    assert "212992 bytes where 8388608 are wanted (net.core.wmem_max)" in said
    assert said.endswith("sysctl -w net.core.wmem_max=8388608 net.core.rmem_max=8388608")


def test_whole_buffers_are_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    mind_buffers([])
    assert caplog.records == []
