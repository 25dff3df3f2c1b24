"""A viewer's choice of layers, as HTTP: straight, through a director, and through another region's.

That it changes the picture: tests/browser/test_simulcast.py.
"""

import json
from urllib.parse import urlsplit

import pytest

from light_viewers import LightViewers
from rivulet_scene.bare import BareCdn
from rivulet_scene.http import get, request
from steps import publish

pytestmark = pytest.mark.timeout(90)
JSON = {"Content-Type": "application/json"}


async def test_a_choice_passes_through_directors_of_both_regions_and_is_refused_with_the_reason(cdn: BareCdn) -> None:
    doors = (cdn.regions["eu"].public(1), cdn.regions["us"].public(), cdn.processes["edge-eu-0"].http)
    with publish(cdn, "test_eu"):
        async with LightViewers() as viewers:
            door = cdn.regions["eu"].public()
            await viewers.join(door, f"{door}/n/edge-eu-0/whep/test_eu?layer=h")
            (location,) = viewers.sessions.values()
            path = f"{urlsplit(location).path}/layer"
            for door in doors:
                assert get(f"{door}{path}").json == {}, "the stream has none"
                assert request("DELETE", f"{door}{path}").status == 200
                for body in ({"encodingId": "h"}, {"rid": "h", "mediaId": "0"}, {"encodingId": 7}, ["h"], {}):
                    refused = request("POST", f"{door}{path}", body=json.dumps(body), headers=JSON)
                    assert (refused.status, refused.json["type"].rsplit("/", 1)[1]) == (400, "bad-request"), body
                unread = request("POST", f"{door}{path}", body="h", headers=JSON)
                assert (unread.status, "JSON" in unread.json["detail"]) == (400, True)
                assert request("POST", f"{door}{path}", body="{}", headers={"Content-Type": "text/plain"}).status == 415
                assert request("OPTIONS", f"{door}{path}").headers["Access-Control-Allow-Origin"] == "*"
            await viewers.leave()  # by DELETE: it has ended when that is answered, unlike one closed by DTLS
        for door in doors:
            gone = request("POST", f"{door}{path}", body='{"encodingId": "h"}', headers=JSON)
            assert (gone.status, gone.json["type"].rsplit("/", 1)[1]) == (410, "ended")
