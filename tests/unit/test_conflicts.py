"""What documents contradict each other in: names, routes, certificates, dependencies."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.source.conflicts import conflicts
from tests.support.specs import read, web, worker


def told(files: Mapping[str, str], *, names_elsewhere: bool = False) -> list[tuple[str, int | None, str, str]]:
    documents = [document for path, text in files.items() for document in read(text, path)]
    found = conflicts(documents, names_elsewhere=names_elsewhere)
    return [(problem.path, problem.line, problem.field, problem.found) for problem in found]


def test_apps_that_differ_have_no_conflict() -> None:
    assert told({"a.yaml": web("a"), "b.yaml": web("b", spec="dependsOn: [a]")}) == []


def test_two_apps_of_one_name_are_errors_in_both_files() -> None:
    found = told({"a.yaml": worker("jobs"), "b.yaml": worker("other") + "---\n" + worker("jobs")})
    assert found == [
        ("a.yaml", 4, "metadata.name", '"jobs", as in b.yaml:12'),
        ("b.yaml", 12, "metadata.name", '"jobs", as in a.yaml:4'),
    ]


def test_a_broken_document_claims_the_name_of_its_app_too() -> None:
    found = told({"a.yaml": worker("jobs"), "b.yaml": worker("jobs", spec="oops: 1")})
    assert [path for path, *_ in found] == ["a.yaml", "b.yaml"]


def test_two_apps_claiming_one_host_and_path_are_errors_in_both() -> None:
    found = told(
        {
            "a.yaml": web("a", spec="routes: [{host: x.example, path: /}, {host: x.example, path: /shop/}]"),
            "b.yaml": web("b", spec="routes: [{host: x.example, path: /shop}]"),
        }
    )
    assert found == [
        ("a.yaml", 9, "spec.routes[1]", "path /shop on host x.example, as in b.yaml:9"),
        ("b.yaml", 9, "spec.routes[0]", "path /shop on host x.example, as in a.yaml:9"),
    ]


def test_a_default_route_is_a_claim_like_any_other() -> None:
    found = told({"a.yaml": web("shop"), "b.yaml": web("b", spec="routes: [{path: /shop}]")})
    assert [(path, line, field) for path, line, field, _ in found] == [
        ("a.yaml", 4, "metadata.name"),
        ("b.yaml", 9, "spec.routes[0]"),
    ]


def test_routes_of_one_path_on_different_hosts_or_any_host_are_no_conflict() -> None:
    hosts = ["host: a.example, ", "host: b.example, ", 'host: "*.example", ', ""]
    routes = {f"{i}.yaml": web(f"w{i}", spec=f"routes: [{{{host}path: /}}]") for i, host in enumerate(hosts)}
    assert told(routes) == []


def test_one_app_may_not_claim_a_route_twice() -> None:
    found = told({"a.yaml": web("a", spec="routes:\n  - {path: /x}\n  - {path: /x}")})
    assert [(line, field, what) for _, line, field, what in found] == [
        (10, "spec.routes[0]", "path /x on any host, as in a.yaml:11"),
        (11, "spec.routes[1]", "path /x on any host, as in a.yaml:10"),
    ]


def test_one_host_has_one_certificate() -> None:
    def route(path: str, secret: str) -> str:
        return f"routes: [{{host: x.example, path: {path}, tls: {{secret: {secret}}}}}]"

    assert told({"a.yaml": web("a", spec=route("/a", "one")), "b.yaml": web("b", spec=route("/b", "one"))}) == []
    found = told({"a.yaml": web("a", spec=route("/a", "one")), "b.yaml": web("b", spec=route("/b", "two"))})
    assert [(path, field) for path, _, field, _ in found] == [
        ("a.yaml", "spec.routes[0].tls.secret"),
        ("b.yaml", "spec.routes[0].tls.secret"),
    ]


def test_dependencies_on_unknown_apps_are_errors_where_they_stand() -> None:
    files = {"a.yaml": web("a", spec="dependsOn:\n  - b\n  - c"), "b.yaml": worker("b")}
    assert told(files) == [("a.yaml", 11, "spec.dependsOn[1]", '"c"')]
    assert told(files, names_elsewhere=True) == []


def test_a_file_that_keeps_its_name_to_itself_makes_no_dependency_unknown() -> None:
    assert told({"a.yaml": web("a", spec="dependsOn: [b]"), "b.yaml": "metadata: [\n"}) == []


def test_a_dependency_on_a_broken_app_is_known() -> None:
    assert told({"a.yaml": web("a", spec="dependsOn: [b]"), "b.yaml": worker("b", spec="oops: 1")}) == []


def test_a_circle_of_dependencies_is_an_error_in_every_file_of_it_and_in_no_other() -> None:
    found = told(
        {
            "a.yaml": web("a", spec="dependsOn: [b]"),
            "b.yaml": web("b", spec="dependsOn: [d, c]"),
            "c.yaml": web("c", spec="dependsOn: [a]"),
            "d.yaml": web("d"),
            "e.yaml": web("e", spec="dependsOn: [a]"),
        }
    )
    assert found == [
        ("a.yaml", 9, "spec.dependsOn[0]", "a → b → c → a"),
        ("b.yaml", 9, "spec.dependsOn[1]", "b → c → a → b"),
        ("c.yaml", 9, "spec.dependsOn[0]", "c → a → b → c"),
    ]


def test_an_app_that_depends_on_itself_is_a_circle() -> None:
    assert told({"a.yaml": web("a", spec="dependsOn: [a]")}) == [("a.yaml", 9, "spec.dependsOn[0]", "a → a")]
