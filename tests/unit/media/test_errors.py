import json

import pytest

from rivulet_media.errors import PROBLEMS, NotYetError, RefusedError, StaleTagError


def test_a_refusal_is_a_problem_object_with_its_members() -> None:
    refused = RefusedError("ended", "session 77d0 has ended", reason="deleted")
    assert refused.status == 410
    assert json.loads(refused.body()) == {
        "type": "https://rivulet.dev/problems/ended",
        "title": "Ended",
        "status": 410,
        "detail": "session 77d0 has ended",
        "reason": "deleted",
    }
    assert refused.headers == {"Content-Type": "application/problem+json"}


def test_not_yet_says_when_to_ask_again() -> None:
    assert NotYetError("full", "500 viewers are the limit", retry_after=5).headers["Retry-After"] == "5"


def test_a_missing_token_names_the_scheme() -> None:
    assert RefusedError("unauthorized", "no token").headers["WWW-Authenticate"] == "Bearer"


def test_a_stale_tag_is_answered_by_the_present_one() -> None:
    refused = StaleTagError("it was replaced", '"2"')
    assert (refused.status, refused.headers["ETag"]) == (412, '"2"')


@pytest.mark.parametrize("slug", sorted(PROBLEMS))
def test_every_slug_has_an_error_status(slug: str) -> None:
    assert 400 <= RefusedError(slug, "").status < 600
