"""The specs of the story that `story` tells: those it begins with, and those of the commit after its end."""

from __future__ import annotations

Files = dict[str, str]


def app(
    name: str, *lines: str, kind: str = "http", image: str = "", replicas: int | None = None, more: str = ""
) -> str:
    """The text of a spec: what every app has, further ``lines`` of its spec, and ``more`` sections."""
    ports = {"http": "[{containerPort: 8080, protocol: HTTP}]", "tcp": "[{containerPort: 5432}]"}
    spec = [f"type: {kind}", f"image: {image or f'{name}:1'}", *([f"ports: {ports[kind]}"] if kind in ports else [])]
    spec += [] if any(line.startswith("termination") for line in lines) else ["terminationGracePeriodSeconds: 3"]
    body = "".join(f"  {line}\n" for line in (*spec, *lines))
    scaling = "" if replicas is None else f"scaling: {{mode: manual, replicas: {replicas}}}\n"
    check = "healthCheck: {path: /healthz}\n" if kind == "http" and "healthCheck" not in more else ""
    return f"apiVersion: v1\nkind: App\nmetadata:\n  name: {name}\nspec:\n{body}{scaling}{check}{more}"


SHOP = (
    'command: ["/bin/shop"]',
    'args: ["--größe", "2"]',
    "workingDir: /srv",
    "resources: {cpu: 0.5, memory: 128Mi, pids: 100}",
    "environment:",
    "  - {name: LOG_LEVEL, value: info}",
    "  - {name: ADDRESS, source: sdk, key: instance.ip}",
    "  - {name: DB_PASSWORD, source: secret, key: database, field: password}",
    "volumes: [{name: shop-data, mountPath: /data, readOnly: true}]",
    "files: [{path: conf/shop.ini, mountPath: /etc/shop.ini}]",
    "strategy: {maxSurge: 1, canary: {weight: 10, holdSeconds: 300}}",
    "routes: [{host: shop.example.com, path: /, tls: {secret: shop-tls}}, {path: /shop, stripPrefix: true}]",
    "edge: {sticky: cookie, maxBodySize: 10Mi}",
    "readiness: {path: /ready}",
)
API = """\
scaling:
  minReplicas: 3
  maxReplicas: 6
  maxScaleOutStep: 1
  cooldownSeconds: 300
  stabilizationWindowSeconds: 600
  metrics: [{name: queue-length, query: sum(queue_length), targetPerReplica: 100}]
"""
MAILER = "volumes: [{hostPath: /srv/mail, mountPath: /mail}]"
BILLING = "strategy: {onFailure: pause, progressDeadlineSeconds: 15}"
GALLERY = "strategy: {canary: {weight: 25, holdSeconds: 30}}"
DRY_RUN = "scaling: {minReplicas: 2, maxReplicas: 5, dryRun: true}\n"
SHOP_INI = "conf/shop.ini"

FIRST: Files = {
    "shop.yaml": app("shop", *SHOP, replicas=3),
    SHOP_INI: "[shop]\ngreeting = hello\n",
    "billing.yaml": app("billing", BILLING, replicas=3),
    "reports.yaml": app("reports", replicas=2),
    "search.yaml": app("search", "terminationGracePeriodSeconds: 120", replicas=4),
    "mailer.yaml": app("mailer", MAILER, replicas=2),
    "accounts.yaml": app("accounts", more=DRY_RUN),
    "api.yaml": app("api", "resources: {cpu: 250m, memory: 64Mi}", more=API),
    "feeds.yaml": app("feeds", replicas=2),
    "gallery.yaml": app("gallery", GALLERY, replicas=4),
    "notes.yaml": app("notes", kind="worker", replicas=1),
    "lab-1.yaml": app("lab-1", replicas=2),
    "lab-2.yaml": app("lab-2", kind="tcp", replicas=1),
    "lab-3.yaml": app("lab-3", "readiness: {path: /ready}", replicas=2),
    "lab-4.yaml": app("lab-4", kind="worker", replicas=1),
}
WIKI = app("wiki", replicas=2, more="healthCheck: {path: /healthz, initialDelaySeconds: 400}\n")
ABSENT = (
    "search.yaml",
    "accounts.yaml",
    "reports.yaml",
    "gallery.yaml",
    *(f"lab-{number}.yaml" for number in range(1, 5)),
)


def next_commit(files: Files) -> Files:
    """All apps are back, and what was wrong is mended; the shop returns to what it was."""
    return {
        **FIRST,
        "wiki.yaml": app("wiki", replicas=3, more="healthCheck: {path: /healthz, initialDelaySeconds: 400}\n"),
        "billing.yaml": app("billing", BILLING, image="billing:3", replicas=3),
        "reports.yaml": app("reports", image="reports:2", replicas=2),
        "search.yaml": app("search", "terminationGracePeriodSeconds: 120", replicas=3),
        "mailer.yaml": app("mailer", "volumes: [{name: mail, mountPath: /mail}]", replicas=2),
        "accounts.yaml": app("accounts", image="accounts:3", more=DRY_RUN),
        "gallery.yaml": app("gallery", GALLERY, image="gallery:3", replicas=4),
        "feeds.yaml": files["feeds.yaml"],
        "lab-1.yaml": app("lab-1", replicas=1),
    }
