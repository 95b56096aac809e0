"""Wrote ``spec-hashes.yaml``: specs, and the hashes that version 1.0.0 gives them.

Containers carry the hash of the spec they were created from. A later version that computes another one for the same
spec would take every container for outdated and create it anew, so a hash that was given once stays. This was run with
version 1.0.0 and must not be run by a later one, which would record its own mistakes; it stays to tell how the file
came about. A field that is new gets cases in a file of its own, written by the first version that has it.

    .venv/bin/python -m tests.golden.upgrade.make_hashes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from tests.support.specs import desired_of

_PLACE = Path(__file__).parent
_TOP = _PLACE.parents[2]

Files = dict[str, str | bytes]

# What every http app has to say, the defaults where they can be written down, and other values.
LEAST = {"image": "demo:1", "ports": "[{containerPort: 8080, protocol: HTTP}]"}
DEFAULTS = {
    "type": "http",
    "command": "[]",
    "args": "[]",
    "environment": "[]",
    "volumes": "[]",
    "files": "[]",
}
OTHERS = {
    "type": "tcp",
    "image": "registry.example:5000/team/demo:2",
    "command": '["/bin/web"]',
    "args": '["--port", "8080"]',
    "workingDir": "/srv",
    "ports": "[{name: web, containerPort: 9000, protocol: HTTP}]",
    "resources": "{cpu: 250m, memory: 64Mi, pids: 100}",
    "environment": "[{name: LOG_LEVEL, value: info}]",
    "volumes": "[{name: data, mountPath: /data}]",
    "files": "[{path: conf/app.ini, mountPath: /etc/app.ini}]",
    "restartToken": '"2026-05-01"',
}
INI: Files = {"conf/app.ini": "[app]\ngreeting = hello\n"}

# Further values of single fields, among them several that mean the same to a container.
VALUES = {
    "image": [
        "demo",
        "docker.io/library/demo:1",
        f"registry.example/team/demo:1@sha256:{'0123456789abcdef' * 4}",
    ],
    "command": ['["/bin/web", "--größe", "a\\tb"]', '[""]', '["1"]'],
    "args": ['["--port"]', '["8080", "--port"]', '["two words", "one\\ntwo"]'],
    "workingDir": ["/", "/srv/", "/srv/app"],
    "ports": [
        "[{containerPort: 8081, protocol: HTTP}]",
        "[{name: web, containerPort: 8080, protocol: HTTP}]",
        "[{containerPort: 8080, protocol: HTTP}, {containerPort: 9100}]",
        "[{containerPort: 8080, protocol: HTTP}, {containerPort: 9100, protocol: TCP}]",
        "[{containerPort: 9100}, {containerPort: 8080, protocol: HTTP}]",
    ],
    "resources": [
        "{}",
        "{cpu: 500m}",
        "{cpu: 0.5}",
        '{cpu: "0.5"}',
        "{cpu: 1}",
        "{cpu: 1.0}",
        '{cpu: "1"}',
        "{cpu: 1000m}",
        "{memory: 512Mi}",
        "{memory: 512m}",
        "{memory: 536870912}",
        '{memory: "536870912"}',
        "{memory: 1Gi}",
        "{pids: 100}",
        "{cpu: 500m, memory: 512Mi}",
        "{memory: 512Mi, cpu: 500m}",
        "{cpu: 500m, memory: 512Mi, pids: 100}",
    ],
    "environment": [
        '[{name: LOG_LEVEL, value: ""}]',
        '[{name: GREETING, value: "Grüße, 世界\\n"}]',
        '[{name: A, value: "1"}, {name: B, value: "2"}]',
        '[{name: B, value: "2"}, {name: A, value: "1"}]',
        "[{name: ADDRESS, source: sdk, key: instance.ip}]",
        "[{name: PORT, source: sdk, key: instance.port}]",
        "[{name: APP, source: sdk, key: app.name}]",
        "[{name: COUNT, source: sdk, key: app.replicas}]",
        "[{name: PASSWORD, source: secret, key: database}]",
        "[{name: PASSWORD, source: secret, key: database, field: password}]",
        "[{name: LOG_LEVEL, value: info}, {name: APP, source: sdk, key: app.name}, "
        "{name: PASSWORD, source: secret, key: database}]",
    ],
    "volumes": [
        "[{name: data, mountPath: /data, readOnly: false}]",
        "[{name: data, mountPath: /data, readOnly: true}]",
        "[{name: other, mountPath: /data}]",
        "[{hostPath: /srv/data, mountPath: /data}]",
        "[{hostPath: /srv/data, mountPath: /data, readOnly: true}]",
        "[{name: data, mountPath: /data}, {name: cache, mountPath: /cache}]",
    ],
    "restartToken": ['"1"', "1", "0", "-3", "again", '""'],
}

FILES: dict[str, tuple[str, Files]] = {
    "mode as by default": ('[{path: conf/app.ini, mountPath: /etc/app.ini, mode: "0444"}]', INI),
    "another mode": ('[{path: conf/app.ini, mountPath: /etc/app.ini, mode: "0400"}]', INI),
    "another mountPath": ("[{path: conf/app.ini, mountPath: /etc/other.ini}]", INI),
    "the same content at another path": (
        "[{path: app.ini, mountPath: /etc/app.ini}]",
        {"app.ini": INI["conf/app.ini"]},
    ),
    "another content": (OTHERS["files"], {"conf/app.ini": "[app]\ngreeting = good day\n"}),
    "empty": (OTHERS["files"], {"conf/app.ini": ""}),
    "not a text": (OTHERS["files"], {"conf/app.ini": bytes(range(256))}),
    "line ends of another system": (OTHERS["files"], {"conf/app.ini": b"[app]\r\ngreeting = hello\r\n"}),
    "two": (
        "[{path: conf/app.ini, mountPath: /etc/app.ini}, {path: conf/b.ini, mountPath: /etc/b.ini}]",
        {**INI, "conf/b.ini": "b = 1\n"},
    ),
    "two in another order": (
        "[{path: conf/b.ini, mountPath: /etc/b.ini}, {path: conf/app.ini, mountPath: /etc/app.ini}]",
        {**INI, "conf/b.ini": "b = 1\n"},
    ),
    "one twice": (
        "[{path: conf/app.ini, mountPath: /etc/app.ini}, {path: conf/app.ini, mountPath: /etc/b.ini}]",
        INI,
    ),
    "one that is not mounted": ("[]", INI),
}

# What takes effect without touching a container: each of these hashes is that of the least app.
ELSEWHERE = {
    "imagePullPolicy": "  imagePullPolicy: Always\n",
    "terminationGracePeriodSeconds": "  terminationGracePeriodSeconds: 30\n",
    "strategy": "  strategy: {maxSurge: 2, onFailure: pause, canary: {weight: 5}}\n",
    "routes": "  routes: [{host: shop.example.com, path: /}]\n",
    "edge": "  edge: {sticky: cookie, rateLimit: {requestsPerSecond: 20}}\n",
    "readiness": "  readiness: {path: /ready}\n",
    "suspend": "  suspend: true\n",
    "scaling": "scaling: {mode: manual, replicas: 3}\n",
    "scaling under spec": "  scaling: {mode: manual, replicas: 3}\n",
    "healthCheck": "healthCheck: {path: /healthz, periodSeconds: 5}\n",
    "healthCheck under spec": "  healthCheck: {path: /healthz, periodSeconds: 5}\n",
}

BLOCKS = """\
# The same as all fields together, in YAML's other style and another order.
kind: "App"
apiVersion: 'v1'
spec:
  restartToken: '2026-05-01'
  files:
    - mountPath: /etc/app.ini
      path: conf/app.ini
  volumes:
    - mountPath: "/data"
      name: data
  environment:
    - value: info
      name: LOG_LEVEL
  resources:
    pids: 100
    memory: 64Mi
    cpu: 250m
  ports:
    - protocol: HTTP
      containerPort: 9000
      name: web
  workingDir: /srv
  args:
    - --port
    - "8080"
  command:
    - /bin/web
  image: registry.example:5000/team/demo:2
metadata:
  name: web
"""


def app(fields: Mapping[str, str], more: str = "", name: str = "web") -> str:
    """The text of a spec with these fields, each in a line, and ``more`` lines after them."""
    lines = "".join(f"  {field}: {value}\n" for field, value in fields.items())
    return f"apiVersion: v1\nkind: App\nmetadata:\n  name: {name}\nspec:\n{lines}{more}"


def cases() -> Iterator[tuple[str, Files]]:
    """The name of each case, and the files of the directory it stands for."""
    yield "least", {"web.yaml": app(LEAST)}
    yield "another name", {"shop.yaml": app(LEAST, name="shop")}
    yield from _fields()
    yield from _types()
    for field, values in VALUES.items():
        for value in values:
            yield f"{field}: {value}", {"web.yaml": app({**LEAST, field: value})}
    for what, (mounts, contents) in FILES.items():
        yield f"files: {what}", {"web.yaml": app({**LEAST, "files": mounts}), **contents}
    for what, lines in ELSEWHERE.items():
        yield f"no container field: {what}", {"web.yaml": app(LEAST, lines)}
    yield "specs of this project", _tree("specs")
    yield "example of the reference", _tree("docs/example")


def _fields() -> Iterator[tuple[str, Files]]:
    """Each container field, from nothing upwards and from everything downwards, and all pairs of them."""
    others = {field: value for field, value in OTHERS.items() if field != "type"}
    whole = {**LEAST, **others}
    for field, value in DEFAULTS.items():
        yield f"{field} as by default", {"web.yaml": app({**LEAST, field: value})}
    yield "all as by default", {"web.yaml": app({**LEAST, **DEFAULTS})}
    for field, value in others.items():
        yield f"{field} given", {"web.yaml": app({**LEAST, field: value}), **INI}
    for pair in combinations(others, 2):
        given = {field: others[field] for field in pair}
        yield f"{' and '.join(pair)} given", {"web.yaml": app({**LEAST, **given}), **INI}
    yield "all given", {"web.yaml": app(whole), **INI}
    yield "all given in another style", {"web.yaml": BLOCKS, **INI}
    for field in (field for field in others if field not in LEAST):
        rest = {name: value for name, value in whole.items() if name != field}
        yield f"all given but {field}", {"web.yaml": app(rest), **INI}
        if field in DEFAULTS:
            changed = {**whole, field: DEFAULTS[field]}
            yield f"all given, {field} as by default", {"web.yaml": app(changed), **INI}


def _types() -> Iterator[tuple[str, Files]]:
    """The other types, which have other ports."""
    tcp = {"type": "tcp", "image": "demo:1", "ports": "[{containerPort: 5432}]"}
    worker = {"type": "worker", "image": "demo:1"}
    others = {field: value for field, value in OTHERS.items() if field not in ("type", "image", "ports")}
    yield "tcp", {"db.yaml": app(tcp, name="db")}
    yield (
        "tcp, protocol as by default",
        {"db.yaml": app({**tcp, "ports": "[{containerPort: 5432, protocol: TCP}]"}, name="db")},
    )
    yield "tcp, all given", {"db.yaml": app({**tcp, **others}, name="db"), **INI}
    yield "worker", {"jobs.yaml": app(worker, name="jobs")}
    yield "worker, ports as by default", {"jobs.yaml": app({**worker, "ports": "[]"}, name="jobs")}
    yield "worker, all given", {"jobs.yaml": app({**worker, **others}, name="jobs"), **INI}


def _tree(path: str) -> Files:
    """The YAML files of a directory of this project, and what lies beside them."""
    root = _TOP / path
    found = (file for file in root.rglob("*") if file.is_file() and file.suffix != ".json")
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in sorted(found)}


def main() -> None:
    entries = []
    for name, files in cases():
        with TemporaryDirectory() as place:
            desired = desired_of(files, Path(place))
        assert not desired.problems, (name, desired.problems)
        hashes = {app: DoubleQuotedScalarString(v.spec_hash) for app, v in sorted(desired.apps.items())}
        contents = {path: LiteralScalarString(c) if _is_plain(c) else c for path, c in files.items()}
        entries.append({"case": name, "hashes": hashes, "files": contents})
    assert len({entry["case"] for entry in entries}) == len(entries)
    yaml = YAML()
    yaml.width = 1000
    with (_PLACE / "spec-hashes.yaml").open("w", encoding="utf-8") as file:
        file.write("# Specs, and the hashes that version 1.0.0 gives them: see make_hashes.py. Never written anew.\n")
        yaml.dump(entries, file)


def _is_plain(content: str | bytes) -> bool:
    """Whether it can stand in a file as it is, line for line."""
    return isinstance(content, str) and content != ""


if __name__ == "__main__":
    main()
