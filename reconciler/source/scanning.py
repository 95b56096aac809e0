"""The events of a YAML text, by one of two scanners that read YAML 1.2 alike.

libyaml's (ruamel.yaml.clib) is 17 times faster than the same in Python, and reads whatever people usually write. It was
made for YAML 1.1, and refuses some of what 1.2 allows: `{image: web:1.4}` first of all. The exact one is ruamel.yaml's
in Python, which reads that, with its own departures from 1.2 set right here; it says the last word on what the fast one
refuses. Decides nothing about what a spec may use. Scanners raise YAMLError and nothing else.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]
from ruamel.yaml.events import ScalarEvent
from ruamel.yaml.scanner import Scanner, ScannerError
from ruamel.yaml.tokens import FlowMappingEndToken, FlowSequenceEndToken, ScalarToken

LINE_BREAK = re.compile(r"\r\n|\r|\n")
_OLD = re.compile("[\x85\u2028\u2029\ufeff]")
# A byte order mark may begin every document, as in files put together.
_MARK_OF_A_DOCUMENT = re.compile(r"(?:\A|(?<=[\r\n]))\ufeff(?=---(?:[\s\0]|\Z)|[#%])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD_WITH_QUESTION_MARK = re.compile(r"\?(?<![^\s,\[{]\?)\S")
_BAD_ESCAPE = "found invalid Unicode character escape code"

# As ruamel has it, which counts those of YAML 1.1 as breaks in text, though not as lines.
_BREAKS = "\r\n\x85\u2028\u2029"
_BREAK_OR_END = _BREAKS + "\0"
_BLANK_OR_END = " \t" + _BREAK_OR_END
_FLOW_INDICATORS = ",[]{}"
_BLANKS = re.compile(r"(?P<spaces> *)(?P<tabs>[ \t]*)")
_BLOCK_HEADER = re.compile(
    r"(?P<before>[-+])?(?P<indent>[1-9])?(?P<after>(?<![-+])(?<![-+][1-9])[-+])?"
    rf"(?:[ \t]+(?:#[^{_BREAK_OR_END}]*)?)?(?=[{_BREAK_OR_END}])"
)


def _plain(indicators: str) -> re.Pattern[str]:
    """What of a plain scalar stands in one line, where also these characters end it."""
    word = rf"[^{_BLANK_OR_END}:#{indicators}]|:(?![{_BLANK_OR_END}{indicators}])|(?<![ \t])#"
    return re.compile(rf"(?:{word}|[ \t]+(?![{_BLANK_OR_END}#{indicators}]|:[{_BLANK_OR_END}{indicators}]))+")


_PLAIN_IN_BLOCK, _PLAIN_IN_FLOW = _plain(""), _plain(re.escape(_FLOW_INDICATORS))


class Events(Protocol):
    """A text's events, one after the other. The last is a StreamEndEvent."""

    def get_event(self) -> Any: ...

    def dispose(self) -> None: ...


def read_alike(text: str) -> bool:
    """Whether both scanners see the same in a text that the fast one reads. Not where `?` begins a word in braces; and
    not where there are line breaks of YAML 1.1, which the fast one counts as lines, or byte order marks, which it
    leaves out wherever a line begins with one."""
    return (text.isascii() or not _OLD.search(text)) and ("?" not in text or not _WORD_WITH_QUESTION_MARK.search(text))


def fast(text: str) -> Events:
    """The events as libyaml reads them."""
    parser: Events = CParser(text)
    return parser


def exact(text: str) -> Events:
    """The events as YAML 1.2 reads them."""
    return _Exact(_MARK_OF_A_DOCUMENT.sub("", text))


class _Exact:
    """The events by the scanner below."""

    def __init__(self, text: str) -> None:
        self._yaml = YAML(typ="safe", pure=True)
        self._yaml.Scanner = _Scanner
        self._events = self._yaml.parse(text)
        self.dispose = self._events.close

    def get_event(self) -> Any:
        try:
            event = next(self._events)
        except AssertionError:
            raise self._refusal("found incompatible YAML document") from None
        except (ValueError, OverflowError):
            raise self._refusal(_BAD_ESCAPE) from None
        if isinstance(event, ScalarEvent) and _SURROGATE.search(event.value):
            event.value = self._joined(event.value)
        return event

    def _joined(self, text: str) -> str:
        r"""Text with the two halves of a character as JSON escapes it (``\ud83d\ude00``) put together."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._refusal(_BAD_ESCAPE) from None

    def _refusal(self, problem: str) -> ScannerError:
        return ScannerError(None, None, problem, self._yaml.reader.get_mark())


class _Scanner(Scanner):
    """ruamel's scanner, with what YAML 1.2 says about tabs, and about `:` and `?` beside flow indicators."""

    def scan_to_next_token(self) -> None:
        reader = self.reader
        while True:
            blanks = self._blanks()
            if self.flow_level or not self._tab_indents(blanks):
                # Nothing that is indented begins after a tab.
                self.allow_simple_key &= bool(self.flow_level) or not blanks["tabs"]
                reader.forward(len(blanks[0]))
            if reader.peek() == "#":
                while reader.peek() not in _BREAK_OR_END:
                    reader.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def _blanks(self) -> re.Match[str]:
        blanks = _BLANKS.match(self.reader.buffer, self.reader.pointer)
        assert blanks is not None, "it matches nothing at all, too"
        return blanks

    def _tab_indents(self, blanks: re.Match[str]) -> bool:
        """Whether there is a tab in the indentation of what follows the white space; elsewhere it only separates."""
        if not blanks["tabs"] or self.reader.buffer[blanks.end()] in "#" + _BREAK_OR_END:
            return False
        return bool(self.reader.column + len(blanks["spaces"]) <= self.indent)

    def _ends_indicator(self) -> bool:
        return self.reader.peek(1) in _BLANK_OR_END + (_FLOW_INDICATORS if self.flow_level else "")

    def check_key(self) -> bool:
        return self._ends_indicator()

    def check_value(self) -> bool:
        return self._ends_indicator() or bool(self.flow_level and self._follows_json())

    def _follows_json(self) -> bool:
        """Whether the token before can be a key whose colon needs nothing after it: `{"a":1}`."""
        if not self.tokens:
            return False
        last = self.tokens[-1]
        quoted = isinstance(last, ScalarToken) and bool(last.style)
        return quoted or isinstance(last, FlowSequenceEndToken | FlowMappingEndToken)

    def check_plain(self) -> bool:
        character = self.reader.peek()
        if character == "-":
            return self.reader.peek(1) not in _BLANK_OR_END
        if character in "?:":
            return not self._ends_indicator()
        return character not in _BLANK_OR_END + _FLOW_INDICATORS + "#&*!|>'\"%@`"

    def scan_plain(self) -> ScalarToken:
        reader, start = self.reader, self.reader.get_mark()
        pattern = _PLAIN_IN_FLOW if self.flow_level else _PLAIN_IN_BLOCK
        text, folded = "", ""
        while True:
            part = pattern.match(reader.buffer, reader.pointer)
            if part is None:
                break
            self.allow_simple_key = False
            text += folded + part[0]
            reader.forward(len(part[0]))
            end = reader.get_mark()
            folded = self._fold(start)
            if not folded or reader.peek() == "#" or (not self.flow_level and reader.column <= self.indent):
                break
        return ScalarToken(text, True, start, end)

    def _fold(self, start: Any) -> str:
        """Pass over the line breaks in a plain scalar: what they are in its value, "" where it ends here."""
        reader = self.reader
        breaks: list[str] = []
        while True:
            blanks = self._blanks()
            if breaks and self._tab_indents(blanks):
                problem = "found a tab character that violates indentation"
                raise ScannerError("while scanning a plain scalar", start, problem, reader.get_mark())
            reader.forward(len(blanks[0]))
            if not (line_break := self.scan_line_break()):
                return _folded(breaks)
            breaks.append(line_break)
            self.allow_simple_key = True
            if self.check_document_start() or self.check_document_end():
                return ""

    def scan_block_scalar_indicators(self, start_mark: Any) -> tuple[bool | None, int | None]:
        reader = self.reader
        header = _BLOCK_HEADER.match(reader.buffer, reader.pointer)
        if header is None:
            problem = "found something other than indicators after | or >"
            raise ScannerError("while scanning a block scalar", start_mark, problem, reader.get_mark())
        reader.forward(len(header[0]))
        chomping = header["before"] or header["after"]
        return chomping == "+" if chomping else None, int(header["indent"]) if header["indent"] else None

    def scan_block_scalar_indentation(self) -> tuple[list[str], int, Any]:
        reader = self.reader
        breaks: list[str] = []
        deepest = 0
        while True:
            end = reader.get_mark()
            while reader.peek() == " ":
                reader.forward()
            deepest = max(deepest, reader.column)
            if not (line_break := self.scan_line_break()):
                # Not even a scalar that needn't be indented goes on over the end of its document.
                ends = self.check_document_start() or self.check_document_end()
                return breaks, deepest or int(bool(ends)), end
            breaks.append(line_break)


def _folded(breaks: list[str]) -> str:
    """What line breaks in a scalar are in its value: one is a space, more are one less."""
    if not breaks or breaks[0] != "\n":
        return "".join(breaks)
    return "".join(breaks[1:]) or " "
