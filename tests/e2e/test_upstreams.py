"""Replicas that speak HTTPS: the way from a plain app to one whose replicas the edge and the checks verify."""

from __future__ import annotations

import hashlib
import ssl

import pytest

from tests.support.nginx import make_certificate, nginx_image
from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

NGINX = """
daemon off;
pid /tmp/nginx.pid;
error_log stderr;
user root;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 8443 ssl;
        ssl_certificate /tls/tls.crt;
        ssl_certificate_key /tls/tls.key;
        location / { return 200 "2\\n"; }
    }
}
"""


def encrypted(image: str, trust: str) -> str:
    files = ", ".join(f"{{path: tls/{name}, mountPath: /tls/{name}}}" for name in ("nginx.conf", "tls.crt", "tls.key"))
    extra = f"""\
  command: [nginx, -p, /tmp, -c, /tls/nginx.conf]
  files: [{files}]
  edge: {{upstreamTLS: {trust}}}
"""
    check = "{protocol: HTTPS, path: '/healthz?full=1', periodSeconds: 0.5}"
    return web(image=image, extra=extra, check=check).replace("8080, protocol: HTTP", "8443, protocol: HTTPS")


def test_an_app_moves_from_http_to_https_and_to_another_trust_without_a_failed_request(site: Site) -> None:
    secret = site.secrets_dir / "internal"
    made = make_certificate(secret, "web")
    (secret / "ca.crt").write_bytes(made.read_bytes())
    placed = {f"tls/{name}": (secret / name).read_text() for name in ("tls.crt", "tls.key")}
    site.start()
    site.deploy({"web.yaml": web()}, "web")
    with undisturbed(site, "web"):
        files = {"tls/nginx.conf": NGINX, **placed}
        site.deploy({"web.yaml": encrypted(nginx_image(), "{ca: internal}"), **files}, "web")
        site.wait(lambda: site.get("/web/version").text == "2\n")
        before = site.ids()
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(made.read_text())).hexdigest()
        site.deploy({"web.yaml": encrypted(nginx_image(), f"{{fingerprint: '{fingerprint}'}}")}, "web")
        assert site.ids() == before
    site.wait(lambda: site.app()["error"] == "")
    assert all(instance["health_check"]["last_success_at"] for instance in site.app()["instances"])
