"""Commands as llama-swap splits them: no shell, no variables, no globs.

llama-swap drops every line whose first non-blank character is `#` (inside quotes too), turns a
backslash at the end of a line into a space, and then splits on spaces, tabs and newlines. Single
quotes are literal; in double quotes a backslash escapes only `$`, `` ` ``, `"` and itself; outside
of quotes it escapes whatever follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# What llama-swap would replace (`${name}`, `${env.NAME}`): there is no way to write it literally.
MACRO: Final = re.compile(r"\$\{(env\.[A-Za-z_][A-Za-z0-9_]*|[A-Za-z0-9_-]+)\}")
# Signs that mean themselves wherever they stand. Most words have no others, and need no trying.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=@%+,-]+")
# What Go's `strings.TrimSpace` trims; Python's `strip` would also trim the separators \x1c-\x1f.
_BLANKS: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class UnbalancedQuote(ValueError):
    """A quote is opened and never closed; llama-swap would swallow the rest of the command."""


class InexpressibleWord(ValueError):
    """A word that no quoting can bring through llama-swap's splitting unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a command: what it means, and how it is written, quotes and all."""

    text: str
    written: str


def read_words(text: str) -> tuple[Word, ...]:
    """Split a command, keeping how each word is written. Raises `UnbalancedQuote`."""
    words, quote = _scan(text)
    if quote:
        raise UnbalancedQuote(f"a {quote} is opened and never closed in {text!r}")
    return words


def split_command(text: str) -> list[str]:
    """Split a command into its words, as llama-swap does. Raises `UnbalancedQuote`."""
    return [word.text for word in read_words(text)]


def open_quote(text: str) -> str:
    """Give the quote that is still open at the end of `text`; empty where none is."""
    return _scan(text)[1]


def strip_comments(text: str) -> str:
    """Drop the lines that llama-swap drops before it looks for macros."""
    if "#" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not _is_comment(line))


def quote_word(word: str, *, macros: bool = False) -> str:
    """Write `word` so that `split_command` gives exactly it back, with as few quotes as it takes.

    With `macros`, a `${name}` in it is meant and kept for llama-swap to replace.

    Raises:
        InexpressibleWord: it holds a macro that is not meant, a NUL, or lines that llama-swap would
            take for comments or continuations.
    """
    if _PLAIN.fullmatch(word):
        return word
    _refuse_unwritable(word, macros=macros)
    for written in (word, f"'{word}'", f'"{_escape(word)}"'):
        if _means(written, word):
            return written
    raise InexpressibleWord(f"{word!r} cannot be written in a llama-swap command")


def quote_inside(word: str, quote: str) -> str:
    """Write `word` for a place between two `quote`s that already stand there.

    Raises:
        InexpressibleWord: it cannot be written there, as `quote_word` says.
    """
    _refuse_unwritable(word, macros=False)
    inside = _escape(word) if quote == '"' else word
    if _means(f"{quote}{inside}{quote}", word):
        return inside
    raise InexpressibleWord(f"{word!r} cannot be written between {quote}{quote}")


def _refuse_unwritable(word: str, *, macros: bool) -> None:
    macro = MACRO.search(word)
    if macro and not macros:
        raise InexpressibleWord(f"{word!r} holds {macro[0]}, which llama-swap takes for a macro")
    if "\0" in word:
        raise InexpressibleWord(f"{word!r} holds a NUL, which no command can carry")


def _escape(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _means(written: str, word: str) -> bool:
    # A continued line is trimmed whole, inside quotes too, so that is tried as well.
    for line in (written, f"{written} \\\n"):
        words, quote = _scan(line)
        if quote or [each.text for each in words] != [word]:
            return False
    return True


def _is_comment(line: str) -> bool:
    return line.lstrip(_BLANKS).startswith("#")


def _join_lines(text: str) -> tuple[str, list[int]]:
    """Drop comments and join continued lines; also say where each character came from."""
    kept: list[str] = []
    origins: list[int] = []
    start = 0
    for line in text.split("\n"):
        trimmed = line.strip(_BLANKS)
        first = start
        if trimmed.endswith("\\"):
            # The whole line is trimmed then, so that its indentation is lost even inside quotes.
            first = start + len(line) - len(line.lstrip(_BLANKS))
            line = trimmed[:-1] + " "  # noqa: PLW2901
        start_of_next = text.find("\n", start) + 1
        if not trimmed.startswith("#"):
            kept.append(line + "\n")
            origins.extend(range(first, first + len(line)))
            origins.append(start_of_next - 1)
        start = start_of_next
    return "".join(kept)[:-1], origins[:-1]


def _scan(text: str) -> tuple[tuple[Word, ...], str]:
    """Split `text`; also give the quote that was left open, empty where none was."""
    line, origins = _join_lines(text)
    words: list[Word] = []
    word: list[str] | None = None
    begun = 0
    quote = ""
    at = 0

    def end_word(end: int) -> None:
        nonlocal word
        if word is not None:
            written = text[origins[begun] : origins[end - 1] + 1]
            words.append(Word(text="".join(word), written=written))
            word = None

    while at < len(line):
        char, following = line[at], line[at + 1 : at + 2]
        if not quote and char in " \t\n":
            end_word(at)
            at += 1
            continue
        if char == "\\" and quote != "'" and following in ("\n", ""):
            at += 2
            continue
        if word is None:
            word, begun = [], at
        if char == "\\" and quote != "'" and (not quote or following in '$`"\\'):
            word.append(following)
            at += 2
            continue
        at += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            word.append(char)
    end_word(len(line))
    return tuple(words), quote
