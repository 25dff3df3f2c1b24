"""`pytest tests/conformance [--whip URL] [--whep URL] [--token T] [--table FILE]`: on our own CDN without addresses."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import protocol
from protocol import Line, Report
from rivulet_scene.bare import BareCdn
from target import PLAYED, Endpoint, Media, Target, foreign, own_cdn, published, through


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--whip", help="WHIP endpoint to be tested")
    group.addoption("--whep", help="WHEP endpoint to be tested; what is published at --whip plays here")
    group.addoption("--token", default="", help="bearer token for both")
    group.addoption("--table", type=Path, help="write the conformance table to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "line(line): the sentence of the protocol that the test proves")
    config.pluginmanager.register(Report(config.option.table), "conformance-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs once for each protocol that has the sentence, on our own CDN through each door."""
    mark = metafunc.definition.get_closest_marker("line")
    if mark is None:
        return
    each: Line = mark.args[0]
    asked = metafunc.config.option.whip or metafunc.config.option.whep
    metafunc.parametrize("target", [""] if asked else each.doors, indirect=True, scope="session")
    metafunc.parametrize("spoken", each.protocols, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants silence comes first, then WHIP, then WHEP: both addresses may name one stream."""
    ours = [item for item in items if protocol.of(item)]
    ours.sort(key=lambda item: (not protocol.of(item).silent, protocol.spoken(item)))  # type: ignore[union-attr]
    places = [index for index, item in enumerate(items) if protocol.of(item)]
    for index, item in zip(places, ours, strict=True):
        items[index] = item


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    with own_cdn(tmp_path_factory.mktemp("conformance")) as cdn:
        yield cdn


@pytest.fixture(scope="session")
def own_media(own: BareCdn) -> Iterator[Media]:
    media = Media(published(own, PLAYED))
    yield media
    media.close()


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    options = request.config.option
    if request.param:
        yield through(request.getfixturevalue("own"), request.param, request.getfixturevalue("own_media"))
        return
    server = foreign(options.whip, options.whep, options.token)
    yield server
    server.media.close()


@pytest.fixture
def endpoint(target: Target, spoken: str) -> Iterator[Endpoint]:
    """The endpoint of the protocol in question, with media where they are played."""
    found = target.endpoint(spoken)
    yield found
    found.end_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    each = protocol.of(item)
    if each is not None and (report.when == "call" or not report.passed):
        said = report.longrepr if report.skipped and isinstance(report.longrepr, tuple) else ("", 0, "")
        reason = said[2].removeprefix("Skipped: ")
        report.user_properties.append(("line", [*each.as_list(), protocol.spoken(item), report.outcome, reason]))
    return report
