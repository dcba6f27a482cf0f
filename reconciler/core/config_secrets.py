"""What in a config's text nobody should see who is shown a piece of it.

A diff ends up in logs and pull requests. Known by their place are keys, tokens and passwords that
llama-swap or a server is given; by their look a few more, in comments too. It hides too much rather
than too little, and a value that only names a macro or a variable stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.nodes import (
    BLOCK_STYLES,
    BOM,
    AliasNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    content_start,
    key_text,
)

HIDDEN: Final = "***"
_WORDS: Final = (
    r"api[-_]?keys?|key|token|secret|passw(?:or)?d|passphrase|credentials?|authorization"
)
# Reading the text as YAML costs far more than this.
_SUSPICIOUS: Final = re.compile(_WORDS, re.IGNORECASE)
# A bare `key` in a mapping is anything; at the end of a variable's name it is a secret.
_SECRET_KEY: Final = re.compile(rf"(?:.*[-_])?(?!key\b)(?:{_WORDS})|.*apikeys?", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(rf"\w*(?:{_WORDS})=", re.IGNORECASE)
_VALUE: Final = (
    r"""(?:"(?P<double>[^"\n]*)|'(?P<single>[^'\n]*)|(?P<bare>(?:\$\{[^}]*\}|[^\s"',\]}])+))"""
)
_BY_LOOK: Final = (
    # `--api-key VALUE`, with a continued line between them at most.
    re.compile(rf"(?<![\w-])(?:--api-key|--hf-token|-hft)(?:=|[\s\\]+){_VALUE}"),
    # `HF_TOKEN=VALUE`
    re.compile(rf"(?<![\w.-])\w*(?:{_WORDS})={_VALUE}", re.IGNORECASE),
    # `https://user:VALUE@host`
    re.compile(r"://[^/\s:@]*:(?P<bare>[^/\s@]+)@"),
    re.compile(r"(?<!\w)(?P<bare>(?:hf_|sk-)[\w-]{16,})"),
    # `# apiKeys: VALUE`
    re.compile(rf"(?m)#.*?(?:{_WORDS})[\"']?:[ \t]*(?P<bare>\S.*)$", re.IGNORECASE),
)
# What each of those needs; to look for them takes longer.
_LIKELY: Final = re.compile(r"[=@#]|--|-hft|hf_|sk-")
_REFERENCE: Final = re.compile(r"(?:\$\{[^}]*\}|\$\w+)?")
_Span = tuple[int, int]


def without_secrets(text: str) -> str:
    """Give a config's text with each secret in it hidden, line by line.

    Raises:
        ConfigUnreadable: it is no YAML.
    """
    mark, text = (BOM, text[1:]) if text.startswith(BOM) else ("", text)
    spans = _by_look(text)
    root = compose(text, "the config").root if _SUSPICIOUS.search(text) else None
    if root is not None:
        spans += _below(text, root)
    return mark + _without(text, spans)


def without_secret_words(text: str) -> str:
    """Give any text with what looks like a secret in it hidden."""
    return _without(text, _by_look(text)) if _LIKELY.search(text) else text


def names_secret(key: str) -> bool:
    """Whether what stands under a key of this name is a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def _by_look(text: str) -> list[_Span]:
    return [span for pattern in _BY_LOOK for span in _matches(pattern, text)]


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[_Span]:
    for match in pattern.finditer(text):
        yield match.span(match.lastgroup or 0)


def _below(text: str, node: Node) -> Iterator[_Span]:
    """Give where the secrets below a node stand."""
    if isinstance(node, MappingNode):
        for key, value in node.pairs:
            name = key_text(key)
            if _SECRET_KEY.fullmatch(name):
                yield from _values(text, value)
            elif name == "env":
                yield from _variables(text, value)
            yield from _below(text, value)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _below(text, item)


def _values(text: str, node: Node) -> Iterator[_Span]:
    """Give where a value stands, or the values of a list; a mapping has names of its own."""
    if isinstance(node, AliasNode):
        yield from _values(text, node.target)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _values(text, item)
    elif isinstance(node, ScalarNode):
        yield _inside(text, node)


def _variables(text: str, node: Node) -> Iterator[_Span]:
    """Give where the values of secret variables stand in a list of `NAME=value`."""
    node = node.target if isinstance(node, AliasNode) else node
    for item in node.items if isinstance(node, SequenceNode) else ():
        item = item.target if isinstance(item, AliasNode) else item  # noqa: PLW2901
        if isinstance(item, ScalarNode) and _SECRET_NAME.match(item.text):
            start, end = _inside(text, item)
            yield text.find("=", start, end) + 1 or start, end


def _inside(text: str, node: ScalarNode) -> _Span:
    """Give where the content of a scalar stands: between its quotes, or behind its header."""
    start = content_start(text, node)
    if node.style in BLOCK_STYLES:
        return text.find("\n", start, node.end) + 1 or node.end, node.end
    quotes = len(node.style)
    return start + quotes, node.end - quotes


def _without(text: str, spans: list[_Span]) -> str:
    pieces: list[str] = []
    shown = 0
    for start, end in _joined(span for span in spans if not _REFERENCE.fullmatch(text, *span)):
        pieces += (text[shown:start], _hidden(text[start:end]))
        shown = end
    return "".join((*pieces, text[shown:]))


def _joined(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Give the spans in their order, those that overlap as one."""
    current: _Span | None = None
    for start, end in sorted(spans):
        if current is not None and start >= current[1]:
            yield current
            current = None
        current = (start, end) if current is None else (current[0], max(end, current[1]))
    if current is not None:
        yield current


def _hidden(piece: str) -> str:
    """Hide what stands on each line of `piece`; blanks around it and line breaks stay."""
    return re.sub(r"\S(?:[^\r\n]*\S)?", HIDDEN, piece)
