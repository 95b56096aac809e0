"""Which remotes are allowed, and how their credentials are kept out of sight.

Decides from the text of a source whether it is a git URL, and refuses every URL that isn't plainly https, ssh or, where
it was opted in, file. Credentials of an https URL leave it here: they travel in a header, and no message shows them.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = r"[^\s\x00-\x1f\x7f\\]+"
_SCP = re.compile(rf"(?:{_USER}@)?{_HOST}:(?![/-]){_PATH}|(?:{_USER}@)?{_HOST}:/(?!/){_PATH}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
_SSH = re.compile(rf"ssh://(?:{_USER}@)?{_HOST}(?::[0-9]{{1,5}})?/{_PATH}")
_HTTPS = re.compile(rf"https://{_HOST}(?::[0-9]{{1,5}})?/[^\s\x00-\x1f\x7f\\?#]+")
_FILE = re.compile(rf"file:///{_PATH}")
_BRANCH_PART = r"[A-Za-z0-9_#@=,\u0080-\U0010ffff][A-Za-z0-9_#@=,.+\u0080-\U0010ffff-]*"
_BRANCH = re.compile(rf"{_BRANCH_PART}(/{_BRANCH_PART})*")


@dataclass(frozen=True, slots=True)
class Remote:
    """A checked URL without credentials; ``authorization`` is the header's value that carries them."""

    url: str
    protocol: str
    authorization: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return self.url


def is_url(source: str) -> bool:
    """Whether a source is meant as a git URL rather than a path."""
    return bool(_SCHEME.match(source) or _SCP.fullmatch(source))


def checked_remote(source: str, *, allow_file: bool) -> Remote:
    """The remote of a URL. Raises ValueError with the remedy where it isn't allowed."""
    scheme = _SCHEME.match(source)
    _check_literal(source)
    protocol = scheme[1].lower() if scheme and scheme[2] == "://" else "ssh" if not scheme else scheme[1]
    if protocol == "https":
        return _https(source)
    if protocol == "ssh" and (_SSH.fullmatch(source) or _SCP.fullmatch(source)):
        return Remote(source, "ssh")
    if protocol == "file" and not allow_file:
        raise ValueError("file URLs are switched off; give the directory itself, or allow them with --allow-file-urls")
    if protocol == "file" and _FILE.fullmatch(source):
        return Remote(source, "file")
    allowed = "https://HOST/PATH or ssh://USER@HOST/PATH" + (" or file:///PATH" if allow_file else "")
    raise ValueError(f"a {protocol} source of a form that isn't allowed; use {allowed}")


def _check_literal(source: str) -> None:
    """Raise ValueError where a host in brackets is no IPv6 address."""
    literal = re.match(r"(?:[a-z]+://)?(?:[^/@]*@)?\[([^\]/]*)\]", source, re.IGNORECASE)
    try:
        if literal:
            IPv6Address(literal[1])
    except AddressValueError:
        raise ValueError(
            "a host in brackets that is no IPv6 address; use https://HOST/PATH, or [::1] for HOST"
        ) from None


def _https(source: str) -> Remote:
    netloc, _, path = source[len("https://") :].partition("/")
    userinfo, _, address = netloc.rpartition("@")
    url = f"https://{address}/{path}"
    if not _HTTPS.fullmatch(url):
        raise ValueError("an https source of a form that isn't allowed; use https://HOST/PATH")
    if not userinfo:
        return Remote(url, "https")
    user, _, password = userinfo.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return Remote(url, "https", "Basic " + base64.b64encode(pair).decode())


def checked_branch(branch: str) -> str:
    """The branch by its name. Raises ValueError where the text can't be a branch's name."""
    parts = branch.split("/")
    possible = _BRANCH.fullmatch(branch) and branch.isprintable() and ".." not in branch
    if not possible or any(part.endswith((".lock", ".")) for part in parts):
        raise ValueError("a branch name of letters, digits and ._+-#@=,/ is needed")
    return branch


def checked_directory(path: str) -> str:
    """A directory inside a repository, without slashes around it; "" for the top. Raises ValueError otherwise."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or any(not part.isprintable() for part in parts):
        raise ValueError("a path inside the repository is needed, relative to its top, without ..")
    return "/".join(parts)
