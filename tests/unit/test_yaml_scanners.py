"""YAML 1.2 as it is: what specs are read by, held against ruamel.yaml in Python and against the specification."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import ScalarEvent, StreamEndEvent

from reconciler.source import scanning
from reconciler.source.document import BROKEN, MAX_DEPTH, read_documents
from reconciler.source.scalars import Ambiguous, plain_value

ACCEPTED = """\
{name: API, value: http://api:8080}
{image: web:1.4.2}
{image: "web:1.4.2", command: [sh, -c, "a: b"]}
[a:b, c]
{a: b:c:d, e: f}
{a: b::c}
{http://x: 1}
{a: :b}
[:b, ::c]
{a: x?y, b: http://h/?q=1&r=2#f}
{a#b: c#d}
[-a, -1, -]
{a: -, b: 1}
{"a":1,"b":[1,2,{"c":"d"}]}
{'a':1}
{"a" :1}
{a: "b", "c":d}
{a: b, }
[a, ]
[a: b]
{? a : b}
{a: b c, d: e  f}
{a: b\\n  c, d: e}
{a: x:1\\n  y:2}
a: 'b: c'
a:b: c
a : b
:a: b
a: :b
a: b]c,d{e}
a: b#c
a: b # c
a: #c\\n  b
a: -b
a: ?b
a: --- b
- a: 1\\n  b: 2\\n-\\n  c: 3
a:\\n- b\\n- c
? a\\n: b
a: b\\n c\\n  d
a: b\\n\\n c
a: 'x\\n\\n  y'
a: "x\\\\\\n  y"
a: "\\\\x41\\\\u00e9\\\\U0001F600\\\\_\\\\N\\\\L\\\\P\\\\e\\\\0\\\\/"
a: |\\n  x\\n   y\\n\\n  z
a: |2-\\n    x
a: |+\\n  x\\n\\nb: c
a: >\\n  x\\n  y\\n\\n  z
a: [\\n1\\n]
a: {\\n}
a: {\\nb: c:1\\n}
a: 0o17
a: 0x1F
a: 1e3
a: .5
a: 12:30:45
a: [true, False, "no", 'on']
a: "\\ufeff"
a: x\\x85y
a: 'x \\u2028 y'\\nb: 1
a: 1\\n---\\n\\ufeffb: 2
a: \\U0001F600é
"a": 1
%YAML 1.2\\n---\\na: 1
%FOO bar\\n---\\na: 1
---\\na: b:c\\n---\\n{a: b:c}\\n...
a: 1\\rb: {c: d:e}\\r
a: 1\\r\\nb: {c: d:e}\\r\\n
""".splitlines()

# Where ruamel.yaml departs from YAML 1.2: tabs, line breaks that are none any more, `?` in flow, numbers and dates.
BY_THE_SPECIFICATION: list[tuple[str, Any]] = [
    ("a:\t1\n", {"a": 1}),
    ("a: 1\t# c\n", {"a": 1}),
    ("a: x\ty\n", {"a": "x\ty"}),
    ("a\t: b\n", {"a": "b"}),
    ("- \ta\n-\tb\n", ("a", "b")),
    ("a:\n  b: 1\n\t\n  c: 2\n", {"a": {"b": 1, "c": 2}}),
    ("a: b:c\n \t\n  d\n", {"a": "b:c\nd"}),
    ("\t# c\na: 1\n", {"a": 1}),
    ("a: |\t# c\n  x\nb: {c: d:e}\n", {"a": "x\n", "b": {"c": "d:e"}}),
    ("a: {b: c:d}\t# e\n", {"a": {"b": "c:d"}}),
    ("a: {b: c:d}\ne: |\n  \n    x\n", {"a": {"b": "c:d"}, "e": "\nx\n"}),
    ("{a: ?b, ?c: d}", {"a": "?b", "?c": "d"}),
    ("{:a: b}", {":a": "b"}),
    ('["a":1, [b:c, "d":e]]', ({"a": 1}, ("b:c", {"d": "e"}))),
    ("a: x\ufeffy\n", {"a": "x\ufeffy"}),
    ("a: 1\n...\n\ufeff---\nb: 2\n", ({"a": 1}, {"b": 2})),
    (r'a: "\ud83d\ude00"', {"a": "\U0001f600"}),
    ("a: 1_000\n", {"a": "1_000"}),
    ("a: 0b11\n", {"a": "0b11"}),
    ("a: 2026-05-01\n", {"a": "2026-05-01"}),
]

REFUSED = """\
"a":1
{a: 'b':c}
{a: b:}
{a: b: c}
[a, b:c
{a: b:c
a: b: c
a: b:
a: - b
a: ? b
a: ,b
a: ]b
a: @b
a: `b
a: %b
a: 'b'c
a: [b]c
a: 'b
a: "\\\\q"
a: "\\\\UFFFFFFFF"
a: "\\\\ud83d"
a: "x\\n---\\n"
\\ta: 1
a: {b: c:d}\\n\\tb: 1
a:\\n  b: 1\\n\\tc: 2
a:\\n\\t- b
-\\t- a
a: b\\n\\tc
a: |\\n\\tx
a: 1\\n  b: 2
a: [1, 2\\nb: 3
a: \\x00
a: \\x07
a: \\x7f
a: "\\ufffe"
%YAML 1.1\\n---\\na: 1
%YAML 1.3\\n---\\na: 1
%YAML 2.0\\n---\\na: 1
{a: 1, a: b:c}
{&a b: c:d}
{a: !t b:c}
{<<: {a: b:c}}
""".splitlines()


def text_of(line: str) -> str:
    """A line of a list above, with its escapes."""
    return line.encode("latin-1", "backslashreplace").decode("unicode_escape")


def frozen(value: Any) -> Any:
    """A value as specs have it: lists are tuples, and nothing can't be."""
    if isinstance(value, dict):
        return {key: frozen(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return tuple(frozen(inner) for inner in value)
    return BROKEN if value is None else value


def read(text: str) -> Any:
    """The value of a text, or of each of its documents; it has no faults."""
    documents = read_documents(text.encode())
    assert [fault for document in documents for fault in document.faults] == []
    return documents[0].value if len(documents) == 1 else tuple(document.value for document in documents)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, also by their types, whatever the order of keys."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.mark.parametrize("line", ACCEPTED)
def test_a_yaml_text_is_read_as_the_exact_reader_reads_it(line: str) -> None:
    values = [frozen(value) for value in YAML(typ="safe", pure=True).load_all(text_of(line))]
    assert same(read(text_of(line)), values[0] if len(values) == 1 else tuple(values))


@pytest.mark.parametrize(("text", "value"), BY_THE_SPECIFICATION)
def test_a_yaml_text_is_read_as_yaml_1_2_says_where_readers_depart_from_it(text: str, value: Any) -> None:
    assert same(read(text), value)


@pytest.mark.parametrize("line", REFUSED)
def test_a_yaml_text_that_is_none_or_means_two_things_is_refused(line: str) -> None:
    faults = [fault for document in read_documents(text_of(line).encode()) for fault in document.faults]
    assert faults
    assert all(fault.found and "no valid YAML" not in fault.found for fault in faults if fault.found != "nothing")


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a: {b: c:d}\ne: 1\nf: 'g\n", 4, "the end of the file inside quotes"),
        ("a: {b: c:d}\ne: 1\nf: g: h\n", 3, "a colon where no field can begin"),
        ("a: {b: c:d}\n\n\te: 1\n", 3, "a tab, or one of @ and ` without quotes"),
        ("a: {b: c:d\n\ne: 1\n", 3, "a mapping that isn't closed"),
        ("a: {b: c:d}\ne: {f: }\n", 2, "nothing"),
        ("a: {\n\n}\nb: {c: \n\n}\n", 4, "nothing"),
        ("a: '\u2028'\nb: @c\n", 2, "a tab, or one of @ and ` without quotes"),
        ("a: é\rb: é\rc: \x07\r", 3, "a control character"),
        ("a: 'b\rc\r", 2, "the end of the file inside quotes"),
        ("a: {b: c:d}\ne: [f:g, 'h': i, j: k: l]\n", 2, "a list that isn't closed"),
    ],
)
def test_a_fault_after_what_only_the_exact_scanner_reads_has_its_own_line(text: str, line: int, found: str) -> None:
    (fault,) = [fault for document in read_documents(text.encode()) for fault in document.faults]
    assert fault.found == found
    assert fault.line == min(line, len(text.splitlines()))


@pytest.mark.parametrize(
    ("content", "line"), [(b"\xef\xbb\xbf\xc3\xa9\xc3\xa9\xff", 1), ("é: 1\ré: 2\r".encode() + b"\xc3\n", 3)]
)
def test_bytes_that_are_no_text_are_told_with_their_line_whatever_is_before_them(content: bytes, line: int) -> None:
    (document,) = read_documents(content)
    assert [(fault.line, fault.found) for fault in document.faults] == [(line, "bytes that are not UTF-8")]


def test_what_came_before_a_fault_that_the_exact_scanner_finds_is_kept() -> None:
    (document,) = read_documents(b"metadata: {name: web, url: a:b}\nspec: {image: [\n")
    assert not document.whole
    assert document.value["metadata"] == {"name": "web", "url": "a:b"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "{? "])
def test_nesting_is_bounded_for_the_exact_scanner_too(opening: str) -> None:
    (document,) = read_documents(("{x: a:b}\n---\n" + opening * 20_000).encode())[1:]
    assert f"more than {MAX_DEPTH} levels of nesting" in [fault.found for fault in document.faults]


def test_alias_bombs_are_never_expanded_by_the_exact_scanner_either() -> None:
    lines = ["a0: &a0 [x:y, x]"] + [f"a{i}: &a{i} [*a{i - 1} , *a{i - 1} ]" for i in range(1, 40)]
    (document,) = read_documents("\n".join(lines).encode())
    assert len(document.faults) == 40


def is_read_back(text: str, value: Any) -> bool:
    """Whether ruamel reads what it has dumped: some text in braces it dumps as nobody can read it."""
    try:
        return bool(YAML(typ="safe", pure=True).load(text) == value)
    except YAMLError:
        return False


def unambiguous(text: str) -> bool:
    return not isinstance(plain_value(text), Ambiguous)


odd = st.sampled_from(
    [*"\t\n\r :#-?,[]{}&*!|>'\"%@`~\\/.0\x85\u2028\u2029\ufeff\x00\x1b\x7f", "😀", ": ", " #", "\n\n"]
)
texts = st.lists(st.one_of(odd, st.characters(exclude_categories=["Cs"])), max_size=24).map("".join).filter(unambiguous)
numbers = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.text("a b", min_size=100, max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(texts, values, min_size=1, max_size=4), flow=st.booleans(), unicode=st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_ruamel_dumps_is_read_as_it_was(value: dict[str, Any], flow: bool, unicode: bool) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.allow_unicode = flow, unicode
    dumped = io.StringIO()
    yaml.dump(value, dumped)
    assume(is_read_back(dumped.getvalue(), value))
    (document,) = read_documents(dumped.getvalue().encode())
    assert {fault.found for fault in document.faults} <= {"nothing"}
    assert same(document.value, frozen(value))


atoms = st.sampled_from(
    ["a", "b", "1", "a:1", "x?y", "é", "a: ", "- ", "? ", ":", ": ", "?", "-", ",", ", ", "[", "]", "{", "}"]
    + [
        '"',
        "'",
        '"a"',
        "'b'",
        "|",
        ">-",
        "|2",
        "#",
        " # c",
        "%",
        "@",
        "\\",
        "  ",
        " ",
        "\t",
        "\r\n",
        "\n",
        "\n  ",
        "\n\t",
    ]
    + ["\n---\n", "\n...\n", "{a: b}", "[a, b]", "\na: b", "\n  c: d", "\n- x", "|\n  t\n", "\n \t\n"]
)


def events(scan: Any, text: str) -> list[tuple[str, Any]] | None:
    """The events of a text, with their values and lines; None where the scanner refuses it."""
    scanner, list_of_events = scan(text), []
    try:
        while not isinstance(event := scanner.get_event(), StreamEndEvent):
            value = getattr(event, "value", "")
            line = event.start_mark.line if value else 0
            list_of_events.append((type(event).__name__, (value, line) if isinstance(event, ScalarEvent) else None))
    except YAMLError:
        return None
    finally:
        scanner.dispose()
    return list_of_events


@given(
    parts=st.lists(atoms, min_size=1, max_size=14), around=st.sampled_from(["- {}", "{{a: {}}}", "a:\n  b: {}\nc: d\n"])
)
@settings(max_examples=300, deadline=None)
def test_the_fast_scanner_means_what_the_exact_one_means(parts: list[str], around: str) -> None:
    text = around.format("".join(parts))
    fast = events(scanning.fast, text)
    exact = events(scanning.exact, text)
    assume(fast is not None and exact is not None and scanning.read_alike(text))
    assert fast == exact
