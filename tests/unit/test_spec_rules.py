"""Every rule of the app spec: what its violation looks like to the author."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from reconciler.model.spec import App, PlainVariable, SdkVariable, SecretVariable
from tests.support.specs import problems, read, told, web, worker

EXAMPLE = Path(__file__).parents[2] / "docs" / "example" / "web.yaml"


def the_app(text: str) -> App:
    (document,) = read(text)
    assert document.problems == ()
    assert document.app is not None
    return document.app


# ---- what loads


def test_a_small_app_gets_the_defaults_of_the_format() -> None:
    app = the_app(web())
    assert (app.spec.type, app.spec.image_pull_policy, app.spec.termination_grace_period_seconds) == (
        "http",
        "IfNotPresent",
        10,
    )
    scaling = app.scaling
    assert (scaling.mode, scaling.min_replicas, scaling.max_replicas, scaling.manual_replicas) == ("auto", 1, 5, 1)
    assert (scaling.target_rps_per_replica, scaling.max_p95_latency_ms, scaling.max_conn_per_replica) == (50, 250, 80)
    assert (scaling.max_cpu_percent, scaling.max_memory_percent) == (70, 75)
    assert (scaling.scale_out_threshold_pct, scaling.scale_in_threshold_pct) == (80, 30)
    assert (scaling.window_seconds, scaling.cooldown_seconds, scaling.stabilization_window_seconds) == (20, 30, 0)
    assert (scaling.max_scale_out_step, scaling.max_scale_in_step, scaling.strategy) == (3, 1, "step")
    assert (app.max_surge, app.max_unavailable) == (1, 0)
    assert [(route.host, route.path, route.strip_prefix) for route in app.routes] == [(None, "/web", False)]
    assert (app.main_port, app.health_check, app.spec.resources) == (8080, None, None)


def test_the_documented_example_loads_with_every_field_given() -> None:
    app = the_app(EXAMPLE.read_text("utf-8"))
    assert isinstance(app.spec.environment[0], PlainVariable)
    assert isinstance(app.spec.environment[1], SdkVariable)
    assert isinstance(app.spec.environment[2], SecretVariable)
    assert app.spec.strategy.canary is not None
    assert app.spec.readiness is not None
    assert app.health_check is not None
    assert app.health_check.expected_status_codes == (200,)
    assert [bounds.min_replicas for bounds in app.scaling.schedule] == [3, 1]


def test_an_app_survives_being_written_as_json_and_read_again() -> None:
    app = the_app(EXAMPLE.read_text("utf-8"))
    assert App.model_validate_json(app.model_dump_json(by_alias=True)) == app


def test_a_file_of_orchestry_1_0_loads_unchanged() -> None:
    app = the_app("""\
        apiVersion: v1
        kind: App
        metadata:
          name: user-api
          labels: {app: "user-api", version: "v2.1.0"}
        spec:
          type: http
          image: "myregistry/user-api:v2.1.0"
          ports:
            - {containerPort: 8080, protocol: HTTP, name: "api"}
            - {containerPort: 9090, protocol: TCP, name: "metrics"}
          resources: {cpu: "1000m", memory: "2Gi"}
          environment:
            - {name: PORT, value: "8080"}
            - {name: DATABASE_URL, source: secret, key: "database-credentials"}
          scaling: {mode: auto, minReplicas: 3, maxReplicas: 20, windowSeconds: 120}
          healthCheck: {path: "/health", port: 8080, periodSeconds: 15, expectedStatusCodes: [200, 204]}
        """)
    assert (app.scaling.min_replicas, app.scaling.max_replicas) == (3, 20)
    assert app.health_check is not None
    assert app.health_check.path == "/health"


@pytest.mark.parametrize(
    ("spec", "surge", "unavailable"),
    [
        ("", 1, 0),
        ("strategy: {maxSurge: 0}", 0, 1),
        ("strategy: {maxSurge: 50%, maxUnavailable: 2}", "50%", 2),
        ("volumes: [{name: data, mountPath: /data}]", 0, 1),
        ("volumes: [{name: data, mountPath: /data, readOnly: true}]", 1, 0),
        ("volumes: [{name: data, mountPath: /data}]\nstrategy: {maxSurge: 1}", 1, 0),
    ],
)
def test_stop_first_where_surge_is_0_or_a_volume_is_written(
    spec: str, surge: int | str, unavailable: int | str
) -> None:
    app = the_app(web(spec=spec))
    assert (app.max_surge, app.max_unavailable) == (surge, unavailable)


@pytest.mark.parametrize(
    ("cpu", "memory", "millicores", "size"),
    [
        ("500m", "512Mi", 500, 512 * 1024**2),
        ("0.5", "1Gi", 500, 1024**3),
        ("2", "500M", 2000, 500 * 1000**2),
        ("1.5", "512m", 1500, 512 * 1024**2),
        ("10m", "6Mi", 10, 6 * 1024**2),
        ("1", "134217728", 1000, 134217728),
    ],
)
def test_quantities_of_cpu_and_memory_mean_what_docker_and_kubernetes_mean_by_them(
    cpu: str, memory: str, millicores: int, size: int
) -> None:
    resources = the_app(web(spec=f"resources: {{cpu: {cpu}, memory: {memory}}}")).spec.resources
    assert resources is not None
    assert (resources.cpu_millicores, resources.memory_bytes) == (millicores, size)


def test_a_resources_block_fills_in_what_it_leaves_out() -> None:
    resources = the_app(web(spec="resources: {pids: 10}")).spec.resources
    assert resources is not None
    assert (resources.cpu_millicores, resources.memory_bytes) == (500, 512 * 1024**2)


# ---- what doesn't

RANGE_PORT = "a whole number from 1 to 65535"
NAME = "a DNS label: 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
TEXT = "text, in quotes where it looks like a number, true, false or yes"
URL_PATH = "a URL path: / first, then letters, digits and -._~/"
SECONDS = "a number from 0 to 86400"
PERIOD = "a number from 0.1 to 86400"
PERCENT = "a number from 0 to 100"
SURGE = "a whole number from 0 to 1000, or a percentage from 0% to 100% such as 25%"
CPU = "cores such as 0.5 or 2, or millicores such as 500m; at least 10m, at most 1024 cores"
LOG_SIZE = "a size such as 10M"
MEMORY = "a memory size such as 512Mi, 1Gi, 500M or 512m; at least 6Mi (the Engine's own minimum), at most 64 TiB"
AUTO = "mode: manual beside it, or minReplicas and maxReplicas instead (mode: auto decides by load)"

IN_SPEC = [
    # wrong types: nothing is converted
    ('terminationGracePeriodSeconds: "3"', "terminationGracePeriodSeconds", '"3"', SECONDS),
    ("args: [yes]", "args[0]", "a word that needs quotes", f"{TEXT}"),
    ("workingDir: yes", "workingDir", "yes without quotes", "in quotes"),
    ("workingDir: 3", "workingDir", "3", "an absolute path"),
    ('suspend: "true"', "suspend", '"true"', "true or false"),
    ("suspend: yes", "suspend", "yes without quotes", "true or false"),
    ("suspend: 1", "suspend", "1", "true or false"),
    ("command: /bin/web", "command", "other text", "a list"),
    ("resources: [1]", "resources", "a list of 1", "a mapping"),
    ("resources: {pids: 1.5}", "resources.pids", "1.5", "a whole number from 1 to 4194304"),
    ("imagePullPolicy: always", "imagePullPolicy", '"always"', "one of IfNotPresent, Always, Never"),
    ("restartToken: [1]", "restartToken", "a list of 1", "text or a whole number"),
    ("restartToken: true", "restartToken", "true", "text or a whole number"),
    # unknown fields, with what was meant
    ("imagePullpolicy: Always", "imagePullpolicy", "an unknown field", "imagePullPolicy"),
    ("working_dir: /srv", "working_dir", "an unknown field", "workingDir"),
    ("replicas: 3", "replicas", "an unknown field", "scaling.replicas"),
    ("maxSurge: 3", "maxSurge", "an unknown field", "spec.strategy.maxSurge"),
    ("nginxSnippet: x", "nginxSnippet", "an unknown field", "one of type, image"),
    # quantities and limits
    ("resources: {cpu: 9m}", "resources.cpu", '"9m"', CPU),
    ("resources: {cpu: 0}", "resources.cpu", "0", CPU),
    ("resources: {cpu: two}", "resources.cpu", '"two"', CPU),
    ("resources: {cpu: true}", "resources.cpu", "true", CPU),
    ("resources: {memory: 5Mi}", "resources.memory", '"5Mi"', MEMORY),
    ("resources: {memory: 1Xi}", "resources.memory", '"1Xi"', MEMORY),
    ("resources: {memory: -1}", "resources.memory", "-1", MEMORY),
    (f"resources: {{memory: {'9' * 18}Gi}}", "resources.memory", f'"{"9" * 18}Gi"', MEMORY),
    ("resources: {pids: 0}", "resources.pids", "0", "a whole number from 1 to 4194304"),
    ("logging: {maxSize: 1023}", "logging.maxSize", "1023", LOG_SIZE),
    ("logging: {maxSize: 0}", "logging.maxSize", "0", LOG_SIZE),
    ("logging: {maxSize: 10 MB}", "logging.maxSize", '"10 MB"', LOG_SIZE),
    ("logging: {maxSize: true}", "logging.maxSize", "true", LOG_SIZE),
    ("logging: {maxFiles: 0}", "logging.maxFiles", "0", "a whole number from 1 to 1000"),
    ('logging: {maxFiles: "3"}', "logging.maxFiles", '"3"', "a whole number from 1 to 1000"),
    ("logging: {max-size: 10M}", "logging.max-size", "an unknown field", "maxSize"),
    ("logging: 10M", "logging", '"10M"', "a mapping"),
    ("init: 1", "init", "1", "true or false"),
    ("terminationGracePeriodSeconds: -1", "terminationGracePeriodSeconds", "-1", SECONDS),
    ("terminationGracePeriodSeconds: 86401", "terminationGracePeriodSeconds", "86401", SECONDS),
    ("terminationGracePeriodSeconds: .nan", "terminationGracePeriodSeconds", "NaN", SECONDS),
    ("terminationGracePeriodSeconds: .inf", "terminationGracePeriodSeconds", "Infinity", SECONDS),
    # environment
    ("environment: [{name: A}]", "environment[0].value", "nothing", TEXT),
    ("environment: [{value: a}]", "environment[0].name", "nothing", "a variable's name"),
    ('environment: [{name: "A=B", value: a}]', "environment[0].name", '"A=B"', "a variable's name"),
    (
        "environment: [{name: A, source: vault, key: a}]",
        "environment[0].source",
        '"vault"',
        "source: sdk or source: sec",
    ),
    (
        "environment: [{name: A, source: sdk, key: host}]",
        "environment[0].key",
        '"host"',
        "one of instance.ip, instance.",
    ),
    (
        "environment: [{name: A, source: sdk, key: app.name, value: x}]",
        "environment[0].value",
        "an unknown field",
        "key",
    ),
    (
        "environment: [{name: A, source: secret, key: ../x}]",
        "environment[0].key",
        '"../x"',
        "a name of letters, digits",
    ),
    ("environment: [A=1]", "environment[0]", '"A=1"', "a name with a value, or with source: sdk or source: secret"),
    ("environment: [{name: A, value: a}, {name: A, value: b}]", "environment", "A twice", "each variable once"),
    # volumes and files
    ("volumes: [{mountPath: /d}]", "volumes[0]", "neither name nor hostPath", "a name (a named volume) or a hostPath"),
    (
        "volumes: [{name: a, hostPath: /a, mountPath: /d}]",
        "volumes[0]",
        "both name and hostPath",
        "one of name and hostP",
    ),
    ("volumes: [{name: a, mountPath: d}]", "volumes[0].mountPath", '"d"', "an absolute path below /"),
    ("volumes: [{name: a, mountPath: /}]", "volumes[0].mountPath", '"/"', "an absolute path below /"),
    ("volumes: [{name: a, mountPath: /a/../b}]", "volumes[0].mountPath", '"/a/../b"', "an absolute path below /"),
    ("volumes: [{name: a, mountPath: /d}, {name: b, mountPath: /d}]", "volumes", "/d twice", "each mountPath once"),
    (
        "files: [{path: /etc/passwd, mountPath: /x}]",
        "files[0].path",
        '"/etc/passwd"',
        "a path relative to the spec's own",
    ),
    ("files: [{path: ../x, mountPath: /x}]", "files[0].path", '"../x"', "a path relative to the spec's own directory"),
    ("files: [{path: a/../../x, mountPath: /x}]", "files[0].path", '"a/../../x"', "a path relative to the spec's own"),
    ("files: [{path: a, mountPath: /x, mode: 0444}]", "files[0].mode", "0444 without quotes", '"0444", in quotes'),
    ("files: [{path: a, mountPath: /x, mode: rw}]", "files[0].mode", '"rw"', 'file mode bits such as "0444"'),
    ("files: [{path: a, mountPath: /x}, {path: b, mountPath: /x}]", "files", "/x twice", "each mountPath once"),
    (f"files: [{', '.join(['{path: a, mountPath: /x}'] * 65)}]", "files", "a list of 65", "a list of at most 64"),
    # strategy
    ("strategy: {maxSurge: 101%}", "strategy.maxSurge", '"101%"', SURGE),
    ("strategy: {maxSurge: -1}", "strategy.maxSurge", "-1", SURGE),
    ("strategy: {maxSurge: true}", "strategy.maxSurge", "true", SURGE),
    ("strategy: {maxSurge: 0, maxUnavailable: 0%}", "strategy.maxUnavailable", '"0%"', "1 or more where maxSurge is 0"),
    ("strategy: {onFailure: stop}", "strategy.onFailure", '"stop"', "one of rollback, pause"),
    (
        "strategy: {progressDeadlineSeconds: 0}",
        "strategy.progressDeadlineSeconds",
        "0",
        "a number above 0, at most 86400",
    ),
    ("strategy: {canary: {weight: 60}}", "strategy.canary.weight", "60", "a whole number from 1 to 50"),
    # routes and edge
    ("routes: [{path: shop}]", "routes[0].path", '"shop"', URL_PATH),
    ('routes: [{path: "/a b"}]', "routes[0].path", '"/a b"', URL_PATH),
    ('routes: [{path: "/a;b"}]', "routes[0].path", '"/a;b"', URL_PATH),
    ("routes: [{path: /a/../b}]", "routes[0].path", '"/a/../b"', "a path without empty, . and .. parts"),
    ("routes: [{host: Shop.example}]", "routes[0].host", '"Shop.example"', "a DNS name in lower case"),
    ("routes: [{host: a_b}]", "routes[0].host", '"a_b"', "a DNS name in lower case"),
    ('routes: [{host: "*"}]', "routes[0].host", '"*"', "a DNS name in lower case"),
    ("routes: [{host: a.example, tls: {}}]", "routes[0].tls.secret", "nothing", "a name of letters, digits"),
    ("edge: {maxBodySize: big}", "edge.maxBodySize", '"big"', "a size such as 1Mi"),
    ("edge: {retries: 11}", "edge.retries", "11", "a whole number from 0 to 10"),
    ("edge: {rateLimit: {requestsPerSecond: 0}}", "edge.rateLimit.requestsPerSecond", "0", "a number above 0"),
    ("dependsOn: [Web]", "dependsOn[0]", '"Web"', NAME),
    ("dependsOn: [db, db]", "dependsOn", "db twice", "each app once"),
]


@pytest.mark.parametrize(("lines", "field", "found", "expected"), IN_SPEC, ids=[case[0][:60] for case in IN_SPEC])
def test_a_mistake_in_a_spec_is_told_with_field_found_and_expected(
    lines: str, field: str, found: str, expected: str
) -> None:
    ((line, told_field, told_found, told_expected),) = told(web(spec=lines))
    assert (line, told_field, told_found) == (9, f"spec.{field}", found)
    assert expected in told_expected


IN_DOCUMENT = [
    ("scaling: {replicas: 3}", "scaling.replicas", "3", AUTO),
    ("scaling: {mode: auto, replicas: 3}", "scaling.replicas", "3", AUTO),
    ("scaling: {mode: manual, replicas: 1001}", "scaling.replicas", "1001", "a whole number from 0 to 1000"),
    ("scaling: {mode: manual, replicas: -1}", "scaling.replicas", "-1", "a whole number from 0 to 1000"),
    ('scaling: {mode: manual, replicas: "3"}', "scaling.replicas", '"3"', "a whole number from 0 to 1000"),
    ("scaling: {mode: off}", "scaling.mode", "off without quotes", "one of auto, manual"),
    ("scaling: {minReplicas: 0}", "scaling.minReplicas", "0", "a whole number from 1 to 1000"),
    ("scaling: {minReplicas: 3, maxReplicas: 2}", "scaling.maxReplicas", "2", "at least minReplicas (3)"),
    ("scaling: {minReplicas: 6}", "scaling.maxReplicas", "5, the default", "at least minReplicas (6)"),
    ("scaling: {maxReplicas: 1001}", "scaling.maxReplicas", "1001", "a whole number from 1 to 1000"),
    ("scaling: {maxCPUPercent: 101}", "scaling.maxCPUPercent", "101", PERCENT),
    ("scaling: {maxCpuPercent: 50}", "scaling.maxCpuPercent", "an unknown field", "maxCPUPercent"),
    ("scaling: {targetRPSPerReplica: 100001}", "scaling.targetRPSPerReplica", "100001", "a number from 0 to 100000"),
    ("scaling: {maxConnPerReplica: -1}", "scaling.maxConnPerReplica", "-1", "a number from 0 to 100000"),
    ("scaling: {maxP95LatencyMs: 600001}", "scaling.maxP95LatencyMs", "600001", "a number from 0 to 600000"),
    ("scaling: {scaleOutThresholdPct: 0}", "scaling.scaleOutThresholdPct", "0", "a number from 1 to 100"),
    ("scaling: {scaleOutThresholdPct: 30}", "scaling.scaleInThresholdPct", "30, the default", "less than scaleOut"),
    (
        "scaling: {scaleOutThresholdPct: 50, scaleInThresholdPct: 50}",
        "scaling.scaleInThresholdPct",
        "50",
        "less than scaleOutThresholdPct (50)",
    ),
    ("scaling: {cooldownSeconds: -0.1}", "scaling.cooldownSeconds", "-0.1", SECONDS),
    ("scaling: {windowSeconds: 0}", "scaling.windowSeconds", "0", "a number from 1 to 86400"),
    (
        'scaling: {schedule: [{cron: "61 * * * *", minReplicas: 1, maxReplicas: 2}]}',
        "scaling.schedule[0].cron",
        '"61 * * * *"',
        "a cron expression of five fields",
    ),
    (
        'scaling: {schedule: [{cron: "0 0 8 * * *", minReplicas: 1, maxReplicas: 2}]}',
        "scaling.schedule[0].cron",
        '"0 0 8 * * *"',
        "a cron expression of five fields",
    ),
    (
        'scaling: {schedule: [{cron: "0 0 30 2 *", minReplicas: 1, maxReplicas: 2}]}',
        "scaling.schedule[0].cron",
        '"0 0 30 2 *"',
        "a cron expression of five fields",
    ),
    (
        'scaling: {schedule: [{cron: "0 8 * * *", timezone: Mars/Base, minReplicas: 1, maxReplicas: 2}]}',
        "scaling.schedule[0].timezone",
        '"Mars/Base"',
        "an IANA time zone",
    ),
    (
        'scaling: {schedule: [{cron: "0 8 * * *", minReplicas: 3, maxReplicas: 2}]}',
        "scaling.schedule[0].maxReplicas",
        "2",
        "at least minReplicas (3)",
    ),
    (
        "scaling: {metrics: [{name: q, query: up}]}",
        "scaling.metrics[0]",
        "neither target nor targetPerReplica",
        "a target or a targetPerReplica",
    ),
    (
        "scaling: {metrics: [{name: rps, query: up, target: 1}]}",
        "scaling.metrics[0].name",
        '"rps"',
        "a name that no built-in metric has (cpu, memory, rps, latency, connections)",
    ),
    ("scaling: {metrics: [{name: q, query: up, target: .inf}]}", "scaling.metrics[0].target", "Infinity", "above 0"),
    ("healthCheck: {path: healthz}", "healthCheck.path", '"healthz"', URL_PATH),
    ("healthCheck: {port: 0}", "healthCheck.port", "0", RANGE_PORT),
    ("healthCheck: {port: 65536}", "healthCheck.port", "65536", RANGE_PORT),
    ("healthCheck: {protocol: GRPC}", "healthCheck.protocol", '"GRPC"', "one of HTTP, TCP"),
    ("healthCheck: {method: TRACE}", "healthCheck.method", '"TRACE"', "one of GET, HEAD, POST, PUT, OPTIONS"),
    ("healthCheck: {periodSeconds: 0}", "healthCheck.periodSeconds", "0", PERIOD),
    ("healthCheck: {timeoutSeconds: 0.05}", "healthCheck.timeoutSeconds", "0.05", PERIOD),
    ("healthCheck: {failureThreshold: 0}", "healthCheck.failureThreshold", "0", "a whole number from 1 to 1000"),
    ("healthCheck: {expectedStatusCodes: [99]}", "healthCheck.expectedStatusCodes[0]", "99", "from 100 to 599"),
    (
        'healthCheck: {headers: [{name: "X Y", value: a}]}',
        "healthCheck.headers[0].name",
        '"X Y"',
        "an HTTP header's name",
    ),
    (
        'healthCheck: {headers: [{name: X, value: "a\\nb"}]}',
        "healthCheck.headers[0].value",
        "other text",
        "printable ASCI",
    ),
    ("healthCheck: {headers: [{name: X, value: a}, {name: x, value: b}]}", "healthCheck.headers", "x twice", "once"),
    ("readiness: {periodSeconds: 0}", "readiness.periodSeconds", "0", PERIOD),
    ("extra: 1", "extra", "an unknown field", "one of apiVersion, kind, metadata, spec, scaling, healthCheck"),
    ("scaling:", "scaling", "nothing", "a mapping"),
    ("scaling: [1]", "scaling", "a list of 1", "a mapping"),
]


@pytest.mark.parametrize(
    ("lines", "field", "found", "expected"), IN_DOCUMENT, ids=[case[0][:60] for case in IN_DOCUMENT]
)
def test_a_mistake_beside_the_spec_is_told_with_field_found_and_expected(
    lines: str, field: str, found: str, expected: str
) -> None:
    ((line, told_field, told_found, told_expected),) = told(web(top=lines))
    assert (line, told_field, told_found) == (9, field, found)
    assert expected in told_expected


@pytest.mark.parametrize(
    ("name", "found"),
    [("Web", '"Web"'), ("web-", '"web-"'), ("a" * 64, f'"{"a" * 60}…"'), ("3", "3"), ("on", "on without quotes")],
)
def test_names_of_apps_are_dns_labels(name: str, found: str) -> None:
    ((line, field, told_found, expected),) = told(web(name))
    assert (line, field, told_found) == (4, "metadata.name", found)
    assert expected.startswith(NAME)


@pytest.mark.parametrize(
    ("labels", "field", "expected"),
    [
        ("{app: shop}", "metadata.labels.app", "the same as metadata.name (web), or no such label"),
        ("{orchestry.app: web}", 'metadata.labels["orchestry.app"]', "a label outside orchestry.*, which is reserved"),
        ("{tier: 3}", "metadata.labels.tier", TEXT),
        ('{"a b": c}', 'metadata.labels["a b"]', "a label's name of 1 to 253 letters, digits and ._/-"),
    ],
)
def test_labels_that_are_reserved_or_contradict_the_name_are_refused(labels: str, field: str, expected: str) -> None:
    text = web().replace("  name: web\n", f"  name: web\n  labels: {labels}\n")
    assert [(line, at, should) for line, at, _, should in told(text)] == [(5, field, expected)]


@pytest.mark.parametrize(
    ("count", "found"), [(64, []), (65, [(5, "metadata.labels", "65 labels", "at most 64 labels")])]
)
def test_an_app_has_at_most_64_labels(count: int, found: list[object]) -> None:
    labels = ", ".join(f"l{number}: x" for number in range(count))
    assert told(web().replace("  name: web\n", f"  name: web\n  labels: {{{labels}}}\n")) == found


RULES_OF_LATER = [
    {"metadata": {"name": "web", "labels": {f"l{number}": "x" for number in range(65)}}},
    {
        "spec": {
            "type": "worker",
            "image": "demo:1",
            "volumes": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            "files": [{"path": "a", "mountPath": "/data/a"}],
        }
    },
]


@pytest.mark.parametrize("part", RULES_OF_LATER)
def test_a_spec_on_record_that_breaks_a_rule_of_later_is_still_read(part: dict[str, object]) -> None:
    spec = {"type": "worker", "image": "demo:1"}
    document = {"apiVersion": "v1", "kind": "App", "metadata": {"name": "web"}, "spec": spec, **part}
    assert App.model_validate_json(json.dumps(document)).name == "web"


@pytest.mark.parametrize(
    ("volumes", "path", "around"),
    [
        ("{name: a, mountPath: /data, readOnly: true}", "/data/app.ini", "/data"),
        ("{hostPath: /srv, mountPath: /data, readOnly: true}", "/data/sub/app.ini", "/data"),
        ("{name: a, mountPath: /data}", "/data/app.ini", None),
        ("{name: a, mountPath: /data, readOnly: true}", "/database/app.ini", None),
        (
            "{name: a, mountPath: /data, readOnly: true}, {name: b, mountPath: /data/sub}",
            "/data/sub/app.ini",
            None,
        ),
        (
            "{name: b, mountPath: /data/sub, readOnly: true}, {name: a, mountPath: /data}",
            "/data/sub/app.ini",
            "/data/sub",
        ),
    ],
)
def test_a_file_inside_a_read_only_volume_is_refused(volumes: str, path: str, around: str | None) -> None:
    spec = f"volumes: [{volumes}]\nfiles:\n  - path: app.ini\n    mountPath: {path}"
    field, expected = "spec.files[0].mountPath", "a path outside of volumes that are readOnly"
    found = f'"{path}" inside the volume at {around}, which is readOnly'
    assert told(web(spec=spec)) == ([] if around is None else [(12, field, found, expected)])


@pytest.mark.parametrize(
    ("image", "valid"),
    [
        ("demo", True),
        ("demo:1.0", True),
        ("registry.example:5000/team/web:1.4.2", True),
        (f"web@sha256:{'a' * 64}", True),
        (f"localhost/web:v1@sha256:{'0' * 64}", True),
        ("Demo:1", False),
        ("demo:", False),
        ("-v", False),
        ("a b", False),
        ("demo:1;rm", False),
        ("http://demo", False),
        ("web@sha256:abc", False),
    ],
)
def test_images_are_named_as_docker_names_them(image: str, valid: bool) -> None:
    fields = [field for _, field, _, _ in told(web().replace("demo:1", f'"{image}"'))]
    assert fields == ([] if valid else ["spec.image"])


# ---- by type


@pytest.mark.parametrize(
    ("ports", "found"),
    [("ports: []", "an empty list"), ("ports: [{containerPort: 80}]", "no port with protocol: HTTP")],
)
def test_an_http_app_needs_an_http_port(ports: str, found: str) -> None:
    text = web().replace("  ports:\n    - {containerPort: 8080, protocol: HTTP}\n", f"  {ports}\n")
    assert told(text) == [(7, "spec.ports", found, "a port with protocol: HTTP for type: http, or type: tcp or worker")]


def test_a_missing_port_of_an_http_app_is_told_at_the_spec() -> None:
    text = web().replace("  ports:\n    - {containerPort: 8080, protocol: HTTP}\n", "")
    assert [(line, field, found) for line, field, found, _ in told(text)] == [(5, "spec.ports", "nothing")]


def test_a_spec_gives_each_port_once() -> None:
    text = web().replace("HTTP}", "HTTP}\n    - {containerPort: 8080}")
    assert told(text) == [(7, "spec.ports", "8080 twice", "each port and each name once")]


@pytest.mark.parametrize(
    ("spec", "top", "line", "field", "found"),
    [
        ("ports: [{containerPort: 80}]", "", 8, "spec.ports", "a list of 1"),
        ("routes: []", "", 8, "spec.routes", "routes of type: worker"),
        ("edge: {retries: 1}", "", 8, "spec.edge", "edge of type: worker"),
        ("strategy: {canary: {}}", "", 8, "spec.strategy.canary", "a mapping"),
        (
            "environment: [{name: P, source: sdk, key: instance.port}]",
            "",
            8,
            "spec.environment[0].key",
            "instance.port",
        ),
        ("", "healthCheck: {}", 8, "healthCheck", "no port"),
        ("", "healthCheck: {protocol: TCP}", 8, "healthCheck", "no port"),
        ("readiness: {}", "", 8, "spec.readiness", "no port"),
    ],
)
def test_a_worker_is_refused_what_takes_a_port(spec: str, top: str, line: int, field: str, found: str) -> None:
    assert [(at, name, what) for at, name, what, _ in told(worker(spec=spec, top=top))] == [(line, field, found)]


def test_a_worker_may_be_asked_at_a_port_of_its_own() -> None:
    app = the_app(worker(top="healthCheck: {port: 8080, path: /health}"))
    assert app.main_port is None
    assert app.routes == ()


def test_a_tcp_app_needs_a_port_and_a_check_that_fits_it() -> None:
    text = worker().replace("worker", "tcp")
    assert [(field, found) for _, field, found, _ in told(text)] == [("spec.ports", "nothing")]
    text += "  ports: [{containerPort: 5432}]\n"
    assert told(text) == []
    assert told(text + "healthCheck: {protocol: TCP}\n") == []
    assert told(text + "healthCheck: {port: 5432}\n") == []
    ((line, field, found, expected),) = told(text + "healthCheck: {path: /x}\n")
    assert (line, field, found) == (9, "healthCheck", "protocol: HTTP without a port")
    assert expected.startswith("protocol: TCP, or the port that speaks HTTP")


# ---- two places


@pytest.mark.parametrize("section", ["scaling", "healthCheck", "readiness"])
def test_sections_of_a_spec_may_stand_in_either_place_but_not_in_both(section: str) -> None:
    value = {"scaling": "{maxReplicas: 7}"}.get(section, "{path: /x}")
    line = f"{section}: {value}"
    assert the_app(web(spec=line)) == the_app(web(top=line))
    ((number, field, found, expected),) = told(web(spec=line + "\n", top=line))
    assert found == f"a second {section}"
    assert number in (9, 10)
    assert {field, expected.split(" or ")[0], expected.split(" or ")[1]} >= {section}
    assert expected.endswith(", not both")


@pytest.mark.parametrize("section", ["scaling", "healthCheck"])
def test_errors_of_a_section_name_the_place_where_its_author_wrote_it(section: str) -> None:
    ((line, field, _, _),) = told(web(spec=f"{section}:\n  oops: 1\n"))
    assert (line, field) == (10, f"spec.{section}.oops")


def test_a_default_that_offends_is_told_at_the_section_where_it_stands() -> None:
    assert told(web(spec="scaling:\n  minReplicas: 6\n")) == [
        (9, "spec.scaling.maxReplicas", "5, the default", "at least minReplicas (6)")
    ]


# ---- the document as a whole


def test_every_error_of_every_document_is_told_at_once() -> None:
    text = web("a", spec="suspend: 1\nreplicas: 2\n", top="scaling: {minReplicas: 0}\n") + "---\n" + web("B")
    assert [(p.line, p.field, p.app_name) for p in problems(text)] == [
        (9, "spec.suspend", "a"),
        (10, "spec.replicas", "a"),
        (11, "scaling.minReplicas", "a"),
        (16, "metadata.name", None),
    ]


def test_yaml_faults_and_field_errors_are_told_together() -> None:
    text = web(spec="suspend: 1\nargs: &a [x]\nimage: other\nsuspend: true\n")
    assert [(line, field) for line, field, _, _ in told(text)] == [
        (9, "spec.suspend"),
        (10, "spec.args"),
        (11, "spec.image"),
        (12, "spec.suspend"),
    ]


def test_a_misspelled_required_field_is_one_mistake() -> None:
    assert told(web().replace("image:", "imgae:")) == [(6, "spec.imgae", "an unknown field", "image")]


def test_a_document_of_another_kind_is_told_as_that_alone() -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n"
    assert told(text) == [(2, "kind", '"Deployment"', "App")]


@pytest.mark.parametrize(("text", "found"), [("- a\n", "a list of 1"), ("web\n", '"web"'), ("3\n", "3")])
def test_a_document_that_is_no_mapping_is_no_app(text: str, found: str) -> None:
    assert told(text) == [(1, "", found, "a mapping with apiVersion, kind, metadata, spec")]


def test_missing_fields_of_a_spec_are_told_at_what_lacks_them() -> None:
    assert [(line, field, found) for line, field, found, _ in told("apiVersion: v1\nkind: App\n")] == [
        (1, "metadata", "nothing"),
        (1, "spec", "nothing"),
    ]


def test_the_app_is_named_even_where_the_file_breaks_off() -> None:
    (problem,) = problems(web() + "  args: [a\n")
    assert (problem.app_name, problem.line) == ("web", 9)
    assert str(problem).startswith("web.yaml:9: found a list that isn't closed; expected ")


@pytest.mark.parametrize(
    "lines",
    [
        "environment: [{name: A, value: 123456789}]",
        "environment: [{name: A, valu: s123456789}]",
        "environment: [{name: A, source: sdk, key: app.name, value: s123456789}]",
        "args: [s123456789, 123456789]",
        "command: s123456789",
        "healthCheck: {headers: [{name: A, value: 's123456789é'}], body: 123456789}",
    ],
)
def test_an_error_never_repeats_a_value_of_a_spec_that_may_be_secret(lines: str) -> None:
    told_text = "\n".join(map(str, problems(web(spec=lines))))
    assert told_text
    assert "123456789" not in told_text


def test_a_document_full_of_mistakes_is_told_to_an_extent() -> None:
    faults = told(web(spec="".join(f"x{number}: 1\n" for number in range(120))))
    assert len(faults) == 101
    assert faults[-1][2] == "20 more problems"


def test_an_error_shows_values_of_a_spec_on_one_line_and_cut() -> None:
    ((_, _, found, _),) = told(web(spec='workingDir: "a\\n\\x1b[31m\\u202e' + "x" * 200 + '"'))
    assert len(found) < 90
    assert re.fullmatch(r"[ -~…]+", found)
