"""Where a token may go, which redirects are followed, and what may be printed of a URL."""

from __future__ import annotations

import pytest

from reconciler.adapters.base.urls import legible, may_carry_token, next_hop, origin_of, shown
from reconciler.adapters.hub.endpoint import Endpoint
from reconciler.errors import Stalled, UsageError


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://huggingface.co/api", True),
        ("http://127.0.0.1:8080/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:80/", True),
        ("http://localhost/", True),
        ("http://huggingface.co/", False),
        ("http://10.0.0.1/", False),
        ("http://localhost.example.org/", False),
        ("http://127.0.0.1.example.org/", False),
    ],
)
def test_token_travels_encrypted_or_stays_on_this_machine(url: str, *, may: bool) -> None:
    """Plain http to anywhere else never carries a token, however loopback its name looks."""
    assert may_carry_token(url) is may


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h.org/a", "https://H.ORG:443/b?c", True),
        ("http://h.org", "http://h.org:80", True),
        ("https://h.org", "http://h.org", False),
        ("https://h.org", "https://h.org:444", False),
        ("https://h.org", "https://cdn.h.org", False),
        ("https://h.org@evil.org/", "https://h.org/", False),
    ],
)
def test_origin_is_scheme_host_and_port(one: str, other: str, *, same: bool) -> None:
    """Two URLs share a token only where all three are equal; a user name is not a host."""
    assert (origin_of(one) == origin_of(other)) is same


@pytest.mark.parametrize(
    "url",
    ["ftp://h.org/a", "h.org/a", "https:///a", "https://h.org\\@evil.org/", "https://h .org/",
     "https://h.org:port/", "http://[::1/", "https://h.org/\n"],
)  # fmt: skip
def test_what_parsers_disagree_about_is_no_url(url: str) -> None:
    """A URL whose host two programs would read differently is refused, as are other schemes."""
    with pytest.raises(Stalled, match="not a URL"):
        origin_of(url)


@pytest.mark.parametrize(
    ("here", "location", "target"),
    [
        ("https://h.org/a/b", "/c?d=e", "https://h.org/c?d=e"),
        ("https://h.org/a", "https://cdn.org/x", "https://cdn.org/x"),
        ("http://mirror.org/a", "https://cdn.org/x", "https://cdn.org/x"),
        ("http://mirror.org/a", "http://mirror.org/b", "http://mirror.org/b"),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", "http://127.0.0.1:2/b"),
    ],
)
def test_safe_redirects_are_followed(here: str, location: str, target: str) -> None:
    """Relative ones, those to https, and those between ports of this machine lead on."""
    assert next_hop(here, location) == target


@pytest.mark.parametrize(
    ("here", "location"),
    [
        ("https://h.org/a", "http://h.org/a"),
        ("https://h.org/a", "http://mirror.org/a"),
        ("https://h.org/a", "http://127.0.0.1/a"),
        ("http://mirror.org/a", "http://other.org/a"),
        ("http://mirror.org/a", "http://127.0.0.1/a"),
    ],
)
def test_redirects_to_plain_http_are_refused(here: str, location: str) -> None:
    """Nothing leaves https, and plain http goes only where the person said."""
    with pytest.raises(Stalled, match="not encrypted"):
        next_hop(here, location)


def test_redirects_to_other_schemes_are_refused() -> None:
    """A redirect cannot make us read a file of this machine."""
    with pytest.raises(Stalled, match="not a URL"):
        next_hop("https://h.org/", "file:///etc/passwd")


def test_printed_urls_hold_no_secrets() -> None:
    """User, password, query and fragment are left out of what is shown."""
    assert shown("https://user:pw@h.org/a/b?Signature=s#f") == "https://h.org/a/b"


def test_text_from_outside_is_printed_on_one_line_without_secrets() -> None:
    """Control characters, bidi marks, tokens and signed queries never reach the terminal."""
    text = "\x1b[31mno\u202e hf_abcdefgh12 Bearer xyz https://h.org/a?X-Sig=1 tok\nend"
    own = "tok"
    told = legible(text, secret=own)
    assert told == "[31mno  *** Bearer *** https://h.org/a *** end"
    assert len(legible("x" * 10_000)) < 400


@pytest.mark.parametrize("text", ["", "huggingface.co", "https://u:p@h.org", "https://h.org/?a=b"])
def test_address_that_is_no_hub_is_a_usage_error(text: str) -> None:
    """A wrong HF_ENDPOINT is refused before anything is asked."""
    with pytest.raises(UsageError):
        Endpoint.parse(text)
