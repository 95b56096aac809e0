"""Our values in the Engine's words, and the Engine's words in our values. Pure: JSON in, JSON out.

Ours is what carries the labels ``orchestry.managed=true`` and our instance's name, under the name that its other labels
give it: a container made from a committed image inherits labels, and is nobody's replica. Everything else is foreign,
which here means no more than its names and its address.
"""

from __future__ import annotations

import io
import math
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from reconciler.model.actions import CreateReplica
from reconciler.model.defaults import edition_of
from reconciler.model.health import EngineHealth
from reconciler.model.observed import Container, ContainerState
from reconciler.model.secrets import secret_variables
from reconciler.model.spec import PlainVariable, SdkVariable, SecretVariable, Volume
from reconciler.model.version import Version
from reconciler.redaction import redacted

MANAGED = "orchestry.managed"
INSTANCE = "orchestry.instance"
APP = "orchestry.app"
REPLICA = "orchestry.replica"
SPEC_HASH = "orchestry.spec-hash"
REVISION = "orchestry.revision"
# Where the Engine forgets the address of a container that does not run, and which variables its log must not show.
ADDRESS = "orchestry.address"
SECRETS = "orchestry.secrets"
# One keyed digest of all secrets it was made with; always set, so that no label of an image stands in for it.
SECRETS_DIGEST = "orchestry.secrets-digest"
# Which edition of container defaults it was made with; without it, the first.
DEFAULTS = "orchestry.defaults"
# The image it was made from, by digest or id; for people, since the Engine tells the id itself.
IMAGE = "orchestry.image"

Json = dict[str, Any]

_ENDED = re.compile(r"^(?:Exited|Restarting) \((\d+)\)")
_CHECKED = re.compile(r"^Up .*\((?:health: )?(starting|healthy|unhealthy)\)$")


# --- labels


# By the Engine, in place, whether we are there or not; while it is a crash loop, we pace them.
RESTARTS = "unless-stopped"


def ownership_labels(instance: str) -> dict[str, str]:
    """The labels that say whose something is; all that volumes and networks carry."""
    return {MANAGED: "true", INSTANCE: instance}


def is_ours(labels: Mapping[str, str] | None, instance: str) -> bool:
    """Whether these labels are of this instance."""
    return labels is not None and ownership_labels(instance).items() <= labels.items()


def replica_labels(action: CreateReplica, instance: str, secrets_digest: str = "") -> dict[str, str]:
    """All labels of a new replica: those of its spec, and ours, which win against those and, all of them being given,
    against any that its image brings."""
    secrets = [variable.name for variable in secret_variables(action.version.app)]
    return {
        **action.version.app.metadata.labels,
        **ownership_labels(instance),
        APP: action.app_name,
        REPLICA: str(action.slot),
        SPEC_HASH: action.version.spec_hash,
        REVISION: action.version.revision,
        ADDRESS: action.address,
        SECRETS: ",".join(secrets),
        SECRETS_DIGEST: secrets_digest,
        DEFAULTS: str(action.version.defaults),
        IMAGE: action.version.image_reference,
    }


# --- what is seen


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of all containers, sorted into ours and not ours."""

    containers: tuple[Container, ...]
    foreign_names: frozenset[str]
    foreign_addresses: frozenset[str]


def read_listing(entries: Iterable[Json], instance: str, network: str) -> Listing:
    """The Engine's list of all containers, sorted. Raises ValueError for a container of ours in a state that no Engine
    we know has."""
    containers: list[Container] = []
    names: set[str] = set()
    addresses: set[str] = set()
    for entry in entries:
        if (container := _read_entry(entry, instance, network)) is not None:
            containers.append(container)
            continue
        names.update(name.lstrip("/") for name in entry.get("Names") or ())
        if address := _address_on(entry, network):
            addresses.add(address)
    return Listing(tuple(containers), frozenset(names), frozenset(addresses))


def checks_left(entries: Iterable[Json], instance: str) -> list[str]:
    """The ids of containers of ours that are nobody's replica: a check of a creation that was cut off has left them."""
    labels = ((entry["Id"], entry.get("Labels") or {}) for entry in entries)
    return [container_id for container_id, own in labels if is_ours(own, instance) and APP not in own]


def _read_entry(entry: Json, instance: str, network: str) -> Container | None:
    """The replica that an entry of the list is, None where it is none of ours."""
    if not is_replica(entry, instance):
        return None
    labels: dict[str, str] = entry["Labels"]
    return Container(
        id=entry["Id"],
        name=_own_name(entry),
        app_name=labels[APP],
        slot=int(labels[REPLICA]),
        spec_hash=labels.get(SPEC_HASH, ""),
        revision=labels.get(REVISION, ""),
        state=ContainerState(entry["State"]),
        address=_address_on(entry, network) or labels.get(ADDRESS),
        defaults=edition_of(labels.get(DEFAULTS, "")),
        image_id=entry["ImageID"],
        secrets=labels.get(SECRETS_DIGEST, ""),
        exit_code=exit_code_of(entry.get("Status", "")),
        engine_health=engine_health_of(entry.get("Status", "")),
        created_at=entry.get("Created"),
    )


def is_replica(entry: Json, instance: str) -> bool:
    """Whether an entry of the list of containers is a replica of this instance."""
    labels: dict[str, str] = entry.get("Labels") or {}
    app_name, slot = labels.get(APP), labels.get(REPLICA, "")
    if not is_ours(labels, instance) or not app_name or not slot.isdecimal():
        return False
    return _own_name(entry) == _of_instance(f"{app_name}-{slot}", instance)


def mounts_of(details: Json) -> Sequence[Json]:
    """The mounts that a container, by what inspecting it tells, was created with: as `create_body` asks for them."""
    return details["HostConfig"].get("Mounts") or ()


def _own_name(entry: Json) -> str:
    """The name a container was given; others are links that name it ("/other/alias")."""
    return next((name[1:] for name in entry.get("Names") or () if "/" not in name[1:]), "")


def _address_on(entry: Json, network: str) -> str | None:
    """The address it has on the network or, while it does not run, the one it asked for."""
    endpoint = ((entry.get("NetworkSettings") or {}).get("Networks") or {}).get(network) or {}
    return endpoint.get("IPAddress") or (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or None


def exit_code_of(status: str) -> int | None:
    """The exit code in the sentence that the Engine lists: ``Exited (137) 3 seconds ago``."""
    match = _ENDED.match(status)
    return int(match[1]) if match else None


def engine_health_of(status: str) -> EngineHealth:
    """What the Engine's own check says, in the sentence that the Engine lists: ``Up 5 minutes (unhealthy)``."""
    match = _CHECKED.match(status)
    return cast(EngineHealth, match[1]) if match else ""


def epoch_seconds(timestamp: str) -> float | None:
    """The Engine's RFC 3339 time in epoch seconds; None for the year 1, by which it means never."""
    moment = datetime.fromisoformat(timestamp)
    return moment.timestamp() if moment.year > 1 else None


def without_secrets(text: str, config: Json) -> str:
    """The text with the values of a container's secret variables (by its inspected ``Config``) made unreadable."""
    return redacted(text, secret_lines(config))


def secret_lines(config: Json) -> set[str]:
    """The values of a container's secret variables, line by line, since a log may begin in the middle of a value."""
    names = set((config.get("Labels") or {}).get(SECRETS, "").split(","))
    values = [value for name, _, value in (line.partition("=") for line in config.get("Env") or ()) if name in names]
    return {line for value in values for line in value.splitlines() if line}


# --- what is asked for


def create_body(
    action: CreateReplica,
    instance: str,
    network: str,
    secret_of: Callable[[SecretVariable], str],
    secrets_digest: str = "",
    log_config: Json | None = None,
) -> Json:
    """The request that creates a replica. ``secret_of`` may raise; whatever it raises is passed on. Of its log, the
    Engine decides where ``log_config`` is empty."""
    spec = action.version.app.spec
    body: Json = {
        "Image": action.version.image_reference,
        "Env": [f"{name}={value}" for name, value in _environment(action, secret_of)],
        "Labels": replica_labels(action, instance, secrets_digest),
        "ExposedPorts": {f"{port.container_port}/tcp": {} for port in spec.ports},
        "StopTimeout": math.ceil(spec.termination_grace_period_seconds),
        "HostConfig": _host_config(action.version, instance, network, log_config),
        "NetworkingConfig": {"EndpointsConfig": {network: _endpoint(action)}},
    }
    # The image's arguments belong to the image's own entrypoint: the Engine drops them where that is replaced.
    optional = {"Entrypoint": list(spec.command), "Cmd": list(spec.args), "WorkingDir": spec.working_dir}
    return body | {key: value for key, value in optional.items() if value}


def _environment(action: CreateReplica, secret_of: Callable[[SecretVariable], str]) -> Iterable[tuple[str, str]]:
    port = action.version.app.main_port
    known = {
        "instance.ip": action.address,
        "instance.port": "" if port is None else str(port),
        "app.name": action.app_name,
        "app.replicas": str(action.replicas),
    }
    for variable in action.version.app.spec.environment:
        match variable:
            case PlainVariable():
                yield variable.name, variable.value
            case SdkVariable():
                yield variable.name, known[variable.key]
            case SecretVariable():
                yield variable.name, secret_of(variable)


def _host_config(version: Version, instance: str, network: str, log_config: Json | None) -> Json:
    spec = version.app.spec
    init = version.container_defaults.init if spec.init is None else spec.init
    config: Json = {
        "NetworkMode": network,
        "RestartPolicy": {"Name": RESTARTS},
        "Mounts": [_mount(volume, instance) for volume in spec.volumes],
    }
    if init is not None:
        config["Init"] = init
    if log_config:
        config["LogConfig"] = log_config
    if (limits := spec.resources) is not None:
        config |= {
            "Memory": limits.memory_bytes,
            "MemorySwap": limits.memory_bytes,  # memory and swap together, so: no swap
            "NanoCpus": limits.cpu_millicores * 1_000_000,
        }
        if limits.pids is not None:
            config["PidsLimit"] = limits.pids
    return config


def _mount(volume: Volume, instance: str) -> Json:
    """A volume as the Engine mounts it: never by the older ``Binds``, which silently creates host paths that are
    missing."""
    common = {"Target": volume.mount_path, "ReadOnly": volume.read_only}
    if volume.name is None:
        return common | {"Type": "bind", "Source": volume.host_path}
    labels = {"VolumeOptions": {"Labels": ownership_labels(instance)}}
    return common | {"Type": "volume", "Source": volume_name(volume.name, instance)} | labels


def volume_name(name: str, instance: str) -> str:
    """What the Engine calls a spec's volume: instances on one host do not share data by accident."""
    return _of_instance(name, instance)


def log_check_name(instance: str) -> str:
    """The name of the container that is created, and removed again, to see what the Engine does with logs."""
    return _of_instance("orchestry-log-check", instance)


def _of_instance(name: str, instance: str) -> str:
    """A name as an instance has it: those of one that is not ``default`` begin with its own."""
    return name if instance == "default" else f"{instance}-{name}"


def _endpoint(action: CreateReplica) -> Json:
    return {"IPAMConfig": {"IPv4Address": action.address}, "Aliases": aliases_of(action.app_name, action.name)}


def aliases_of(app_name: str, name: str) -> list[str]:
    """The names by which other containers on the network reach a replica."""
    return [app_name, name]


def file_archive(version: Version) -> bytes:
    """The version's files as a tar archive to unpack at ``/``; empty where it has none."""
    if not version.app.spec.files:
        return b""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in version.app.spec.files:
            content = version.files[file.path]
            member = tarfile.TarInfo(file.mount_path.lstrip("/"))
            member.size, member.mode = len(content), int(file.mode, 8)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
