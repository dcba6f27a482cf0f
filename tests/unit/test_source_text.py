"""What the words of a source mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.names import InvalidName
from reconciler.core.reading.source_text import check_revision, parse_source
from reconciler.core.source import HubPath, HubQuant, LocalPath, PlainUrl, Source

BASE = "/srv/manifests"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def described(source: Source) -> tuple[str, ...]:
    """A source in few words, so that a table of them can be read."""
    match source:
        case HubQuant(repo=repo, quant=quant):
            return ("quant", repo, quant)
        case HubPath(repo=repo, path=path, revision=revision):
            return ("path", repo, path, str(revision))
        case PlainUrl(url=url):
            return ("url", url)
        case LocalPath(path=path):
            return ("local", path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme/Tiny-GGUF:Q8_0", ("quant", "acme/Tiny-GGUF", "Q8_0")),
        ("acme/Tiny-GGUF", ("quant", "acme/Tiny-GGUF", "Q4_K_M")),
        ("acme/Tiny:UD-Q4_K_XL", ("quant", "acme/Tiny", "UD-Q4_K_XL")),
        ("hf://acme/Tiny/m.gguf", ("path", "acme/Tiny", "m.gguf", "None")),
        ("hf://acme/Tiny/Q8/M.gguf@v1.0", ("path", "acme/Tiny", "Q8/M.gguf", "v1.0")),
        ("hf://acme/Tiny/m.gguf@refs/pr/4", ("path", "acme/Tiny", "m.gguf", "refs/pr/4")),
        ("hf://acme/Tiny/a@b.gguf", ("path", "acme/Tiny", "a@b.gguf", "None")),
        (
            "https://huggingface.co/acme/Tiny/blob/main/Sub/M%20x.gguf?download=true",
            ("path", "acme/Tiny", "Sub/M x.gguf", "main"),
        ),
        (
            f"https://hf.co/acme/Tiny/resolve/{COMMIT}/m.gguf",
            ("path", "acme/Tiny", "m.gguf", COMMIT),
        ),
        (
            "https://huggingface.co/acme/Tiny/blob/refs%2Fpr%2F4/m.gguf",
            ("path", "acme/Tiny", "m.gguf", "refs/pr/4"),
        ),
        (
            "https://huggingface.co/acme/Tiny/blob/refs/pr/4/m.gguf",
            ("path", "acme/Tiny", "m.gguf", "refs/pr/4"),
        ),
        ("https://example.org/A/m.gguf", ("url", "https://example.org/A/m.gguf")),
        ("http://10.0.0.2:8080/m.gguf?x=1", ("url", "http://10.0.0.2:8080/m.gguf?x=1")),
        (
            "https://example.org/m-00001-of-00001.gguf",
            ("url", "https://example.org/m-00001-of-00001.gguf"),
        ),
        ("file:///mnt/old disk/m.gguf", ("local", "/mnt/old disk/m.gguf")),
        ("file://localhost/mnt/m.gguf", ("local", "/mnt/m.gguf")),
        ("./sub/m.gguf", ("local", "/srv/manifests/sub/m.gguf")),
    ],
)
def test_every_form_of_a_source_is_understood(text: str, expected: tuple[str, ...]) -> None:
    """Each form the reference promises means what it says, with its case kept."""
    assert described(parse_source(text, base=BASE)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" acme/Tiny", "begins or ends with a space"),
        ("acme/Tiny\x07", "control characters"),
        ("acme", "org/repo:QUANT"),
        ("acme/Tiny/x", "org/repo:QUANT"),
        ("acme/..", "not a repository"),
        ("acme/Tiny:", "acme/Tiny:Q4_K_M"),
        ("acme/Tiny:m-Q8_0.gguf", "hf://acme/Tiny/m-Q8_0.gguf"),
        ("acme/Tiny@main", "give the revision apart"),
        ("models/m.gguf", "./models/m.gguf"),
        ("/mnt/m.gguf", "file:///absolute/path.gguf"),
        ("~/m.gguf", "file:///absolute/path.gguf"),
        ("../m.gguf", "may leave the manifest's folder"),
        ("./a/../../m.gguf", "'..'"),
        ("file:///mnt/../etc/m.gguf", "'..'"),
        ("file://mnt/m.gguf", "not absolute"),
        ("hf://acme/Tiny/../m.gguf", "'..'"),
        ("hf://acme/Tiny", "does not name a file"),
        ("hf://acme/Tiny@main/m.gguf", "with @revision at the end"),
        ("hf://acme/Tiny/m.gguf@", "not a revision"),
        ("https://huggingface.co/acme/Tiny", "not the URL of a file"),
        ("https://huggingface.co/acme/Tiny/tree/main/Q8_0/m", "not the URL of a file"),
        ("https://huggingface.co/acme/Tiny/blob/main/%2e%2e/m.gguf", "'..'"),
        ("https://huggingface.co/acme/Tiny/blob/main/%ff.gguf", "UTF-8"),
        ("https://example.org/%2e%2e/m.gguf", "'..'"),
        ("https://example.org/folder/", "no plain path"),
        ("https://example.org", "no plain path"),
        ("https://example.org/m.gguf#sha", "fragment"),
        ("https://example.org/a b.gguf", "%20"),
        ("https://example.org:port/m.gguf", "not a URL"),
        ("https:///m.gguf", "names no server"),
        ("https://example.org/m-00001-of-00002.gguf", "one piece of a split model"),
        ("ftp://example.org/m.gguf", "no known scheme"),
    ],
)
def test_what_is_no_source_is_refused_with_what_to_write(text: str, says: str) -> None:
    """A source that cannot be meant is refused with a sentence that shows the mend."""
    with pytest.raises(InvalidName) as caught:
        parse_source(text, base=BASE)
    assert says in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    """A secret in a URL is refused, and the message does not spread it."""
    with pytest.raises(InvalidName) as caught:
        parse_source("https://me:secret@example.org/m.gguf", base=BASE)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a b", "a..b", "-x", "a//b", "a:b", "x" * 256, "a\n"])
def test_a_revision_git_would_not_have_is_refused(text: str) -> None:
    """What can be no branch, tag or commit is caught before anybody is asked for it."""
    with pytest.raises(InvalidName):
        check_revision(text)


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(
            r"(hf://|https?://(huggingface\.co/)?|file://|\./)?[\w%./:@#?-]{0,40}", fullmatch=True
        ),
    )
)
def test_no_text_leaves_its_folder_or_breaks_the_parser(text: str) -> None:
    """Whatever is written, it is refused properly or names no path with `..` in it."""
    try:
        source = parse_source(text, base=BASE)
    except InvalidName:
        return
    parts = described(source)[-2 if isinstance(source, HubPath) else -1].split("/")
    assert ".." not in parts
