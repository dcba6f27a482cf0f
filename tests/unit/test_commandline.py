"""Commands are read and written as llama-swap itself splits them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.llamaswap.commandline import (
    InexpressibleWord,
    UnbalancedQuote,
    open_quote,
    quote_inside,
    quote_word,
    read_words,
    split_command,
    strip_comments,
)

# Characters that mean something to the splitting, and a few that only look as if they did.
_SHARP = st.text(alphabet=" \t\n'\"\\#$`{}ab~*|=\xa0\u2003é\r-", max_size=12)
_WORDS = st.one_of(_SHARP, st.text(max_size=12))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("  a  ", ["a"]),
        ("a '' b", ["a", "", "b"]),
        ("'a \"b\" \\n'", ['a "b" \\n']),
        (r'"a \"b\" \$ \` \\ \n"', ['a "b" $ ` \\ \\n']),
        (r"a\ b \'c\\d", ["a b", "'c\\d"]),
        ("--x='{\"a\": 1}'y", ['--x={"a": 1}y']),
        ("$HOME ~ * a|b 'x'\"y\"z", ["$HOME", "~", "*", "a|b", "xyz"]),
        ("a\n# b c\n   # d\ne", ["a", "e"]),
        ("a # b", ["a", "#", "b"]),
        ("a 'b\n# gone\nc'", ["a", "b\nc"]),
        ("a \\\n  b\\\n c", ["a", "b", "c"]),
        ("a 'b\\\nc'", ["a", "b \nc"]),
        ("a \\   \nb", ["a", "b"]),
        ("a\\\n# x\n", ["a"]),
        ("a b\\", ["a", "b"]),
        ("\u00a0#a", []),
        ("a\u00a0b\rc", ["a\u00a0b\rc"]),
        ("", []),
    ],
)
def test_split(text: str, words: list[str]) -> None:
    """Lines, quotes and escapes mean what they mean to llama-swap, and nothing more."""
    assert split_command(text) == words


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "'a' \"b\\\""])
def test_open_quotes_are_errors(text: str) -> None:
    """A command whose quote is never closed is not read as something it may not mean."""
    with pytest.raises(UnbalancedQuote):
        split_command(text)


def test_words_know_how_they_are_written() -> None:
    """A word can be found again in the command's own text, even behind a continued line."""
    text = "srv \\\n  -m '/a b.gguf' # not a comment\n  # but this is\n  --x=\"y\"z\n"
    written = [word.written for word in read_words(text)]
    assert written[:3] == ["srv", "-m", "'/a b.gguf'"]
    assert written[-1] == '--x="y"z'
    assert all(each in text for each in written)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/models/a.gguf", "/models/a.gguf"),
        ("$HOME~*|&;#", "$HOME~*|&;#"),
        ("", "''"),
        ("#a", "'#a'"),
        ("a b", "'a b'"),
        ('{"a": 1}', "'{\"a\": 1}'"),
        ("\r", "'\r'"),
        ("it's", '"it\'s"'),
        ("C:\\x", "'C:\\x'"),
        ("'\"\\", '"\'\\"\\\\"'),
    ],
)
def test_quotes_are_as_few_as_it_takes(word: str, written: str) -> None:
    """No quotes where none are needed, single ones before double ones, JSON in single ones."""
    assert quote_word(word) == written


@pytest.mark.parametrize("word", ["/m/${x}.gguf", "${PORT}", "${env.HOME}/a", "a\0b", "a\n#b\\\nc"])
def test_inexpressible_words_are_refused(word: str) -> None:
    """What llama-swap would change in any quotes is refused, never written wrongly."""
    with pytest.raises(InexpressibleWord):
        quote_word(word)


def test_meant_macros_are_kept() -> None:
    """A macro that is meant stays for llama-swap to expand; what is no macro needs no leave."""
    assert quote_word("${ctx} x", macros=True) == "'${ctx} x'"
    assert quote_word("${a b}") == "'${a b}'"
    assert quote_word("${file.x}") == "${file.x}"


@given(st.lists(_WORDS, max_size=4), st.sampled_from([" ", "\n", " \\\n  "]))
def test_what_is_written_is_read_back(words: list[str], between: str) -> None:
    """Whatever words are written, alone or side by side, on one line or on many, come back."""
    written = []
    kept = []
    for word in words:
        try:
            written.append(quote_word(word))
        except InexpressibleWord:
            continue
        kept.append(word)
    assert split_command(between.join(written)) == kept
    assert [word.written for word in read_words(between.join(written))] == written


@given(st.text(alphabet=" '\"\\ab${}~#=é", max_size=12), st.sampled_from("'\""))
def test_what_is_written_inside_quotes_is_read_back(word: str, quote: str) -> None:
    """A word put between quotes that already stand there is that word."""
    try:
        inside = quote_inside(word, quote)
    except InexpressibleWord:
        return
    assert split_command(f"a {quote}{inside}{quote} b") == ["a", word, "b"]
    assert open_quote(f"a {quote}{inside}") == quote


@given(_SHARP)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text breaks the reader, and every word it gives stands in the text as it says."""
    try:
        words = read_words(text)
    except UnbalancedQuote:
        return
    assert all(word.written in text for word in words)


def test_comments_are_stripped_whole() -> None:
    """Comment lines go, and every other line stays byte for byte."""
    assert strip_comments(" a \n  # b\nc #d\\\n") == " a \nc #d\\\n"
