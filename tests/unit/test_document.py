"""YAML as strictly as a spec needs it: values, lines and faults."""

from __future__ import annotations

import pytest

from reconciler.source.document import BROKEN, MAX_DOCUMENTS, MAX_FILE_BYTES, read_documents
from reconciler.source.scalars import Ambiguous, plain_value


def faults(text: str) -> list[tuple[int, str]]:
    return [(fault.line, fault.found) for document in read_documents(text.encode()) for fault in document.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("22:22", "22:22"),
        ("2026-05-01", "2026-05-01"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("y", "y"),
        ("v1", "v1"),
        ("yes", Ambiguous("yes")),
        ("NO", Ambiguous("NO")),
        ("Off", Ambiguous("Off")),
        ("0444", Ambiguous("0444")),
        ("9" * 40, Ambiguous("9" * 40)),
    ],
)
def test_unquoted_words_of_a_spec_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    read = plain_value(text)
    assert read == value
    assert type(read) is type(value)


def test_quoted_words_of_a_spec_are_text() -> None:
    (document,) = read_documents(b"a: \"yes\"\nb: '3'\nc: |\n  true\n")
    assert document.value == {"a": "yes", "b": "3", "c": "true\n"}


def test_lists_of_a_yaml_document_are_tuples_and_every_key_and_item_has_its_line() -> None:
    (document,) = read_documents(b"a:\n  - b: 1\n    c:\n      text\n  - 2\n")
    assert document.value == {"a": ({"b": 1, "c": "text"}, 2)}
    assert document.lines == {(): 1, ("a",): 1, ("a", 0): 2, ("a", 0, "b"): 2, ("a", 0, "c"): 3, ("a", 1): 5}
    assert document.line(("a", 0, "missing", "too")) == 2


def test_several_yaml_documents_keep_the_lines_of_their_file() -> None:
    first, second = read_documents(b"---\na: 1\n---\n# nothing\n---\nb: 2\n...\n")
    assert (first.value, first.lines[("a",)]) == ({"a": 1}, 2)
    assert (second.value, second.lines[("b",)]) == ({"b": 2}, 6)


@pytest.mark.parametrize("text", ["", "\n", "# a comment\n", "---\n", "---\n---\n"])
def test_a_file_without_content_has_no_yaml_documents(text: str) -> None:
    assert read_documents(text.encode()) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "a second a")]),
        ("a: &x 1\nb: *x\n", [(1, "an anchor (&)"), (2, "an alias (*)")]),
        ("a: 1\n<<: {b: 2}\n", [(2, "a merge key (<<)")]),
        ("a: !!str 3\nb: !mine 4\n", [(1, "a tag (!)"), (2, "a tag (!)")]),
        ("a:\nb: ~\n", [(1, "nothing"), (2, "nothing")]),
        ("a: [1, ]\nb: [null]\n", [(2, "nothing")]),
        ("1: a\nyes: b\n", [(1, "the key 1 without quotes"), (2, "the key yes without quotes")]),
        ("? [a]\n: b\n", [(1, "a key that isn't plain text")]),
        ("&k a: 1\n", [(1, "a key that isn't plain text")]),
        ("%YAML 1.1\n---\na: 1\n", [(1, "a %YAML directive")]),
        ("a: b: c\n", [(1, "a colon where no field can begin")]),
        ("a: 1\n\tb: 2\n", [(2, "a tab in the indentation")]),
        ("a: @b\n", [(1, "a tab, or one of @ and ` without quotes")]),
        ("a: 'b\n", [(1, "the end of the file inside quotes")]),
        ("a: [1, 2\nb: 3\n", [(2, "a list that isn't closed")]),
        ("a: 1\n  b: 2\n", [(2, "a colon where no field can begin")]),
        ("a: 1\nb: \x07\n", [(2, "a control character")]),
    ],
)
def test_faults_of_a_yaml_document_name_the_line_and_what_is_there(text: str, found: list[tuple[int, str]]) -> None:
    assert faults(text) == found


def test_all_faults_of_a_yaml_file_are_told_and_the_rest_is_read() -> None:
    (document,) = read_documents(b"a: &x 1\nb: 2\nb: 3\nc: !t 4\nd: 5\n")
    assert len(document.faults) == 3
    assert document.value == {"a": BROKEN, "b": 2, "c": BROKEN, "d": 5}


def test_what_came_before_a_syntax_error_of_yaml_is_kept() -> None:
    (document,) = read_documents(b"metadata:\n  name: web\nspec: {image: [\n")
    assert not document.whole
    assert document.value["metadata"] == {"name": "web"}


@pytest.mark.parametrize("opening", ["[", "{", "- ", "{a: ", "? "])
def test_nesting_in_a_yaml_document_is_bounded(opening: str) -> None:
    (document,) = read_documents((opening * 20_000).encode())
    assert "more than 16 levels of nesting" in [fault.found for fault in document.faults]


def test_the_number_of_yaml_documents_in_a_file_is_bounded() -> None:
    documents = read_documents(b"--- a\n" * (MAX_DOCUMENTS + 5))
    assert len(documents) == MAX_DOCUMENTS + 1
    assert [fault.found for fault in documents[-1].faults] == ["more than 256 documents in one file"]


def test_alias_bombs_in_yaml_are_never_expanded() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    (document,) = read_documents("\n".join(lines).encode())
    assert len(document.faults) == 40


def test_a_spec_file_that_is_too_large_is_not_parsed() -> None:
    (document,) = read_documents(b"#" * (MAX_FILE_BYTES + 1))
    assert [fault.expected for fault in document.faults] == ["a file of at most 256 KiB"]


def test_bytes_of_a_spec_file_that_are_not_utf_8_are_named_with_their_line() -> None:
    (document,) = read_documents(b"a: 1\nb: \xff\n")
    assert [(fault.line, fault.found) for fault in document.faults] == [(2, "bytes that are not UTF-8")]


def test_a_byte_order_mark_of_a_spec_file_is_no_content() -> None:
    (document,) = read_documents(b"\xef\xbb\xbfa: 1\n")
    assert document.value == {"a": 1}
