"""The calls behind each action. An action is complete, so there is nothing to choose here: only to do it, to notice
that it is already so, and to say what the Engine said.

Nothing that stops, changes or removes is ever asked of a container that is not known to be ours. A create that fails
leaves nothing behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from docker.errors import APIError, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from reconciler.model.actions import (
    Action,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    GiveBackRestarts,
    RemoveReplica,
    StartReplica,
    StopReplica,
    TakeOverRestarts,
)
from reconciler.model.reasons import Reason
from reconciler.model.spec import AppSpec
from reconciler.model.version import Version
from reconciler.ports import ActionError, Rejected, TryLater
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.endings import ask_to_end, remove_now
from reconciler.runtime.engine import Engine, sentence_of
from reconciler.runtime.failures import explain
from reconciler.runtime.images import HostImages
from reconciler.runtime.log_defaults import LogDefaults
from reconciler.runtime.mounts import MountPolicy
from reconciler.runtime.network import ReplicaNetwork
from reconciler.runtime.secrets import Secrets
from reconciler.runtime.translate import (
    ADDRESS,
    APP,
    RESTARTS,
    SPEC_HASH,
    Json,
    aliases_of,
    create_body,
    file_archive,
    is_ours,
    log_check_name,
    ownership_labels,
)


class Owned:
    """The containers known to be ours. Ids are never used twice, so what was ours once stays so."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._ids: frozenset[str] = frozenset()

    def replace(self, container_ids: frozenset[str]) -> None:
        """Take these as all containers that are ours, after an observation."""
        self._ids = container_ids

    def check(self, api: BoundedClient, container_id: str) -> None:
        """Make sure that a container is ours. Raises Rejected for a container that is not ours, docker's NotFound for
        one that is not there."""
        if container_id in self._ids:
            return
        if not is_ours(api.inspect_container(container_id)["Config"]["Labels"], self._instance):
            raise Rejected(
                Reason.NOT_OURS, f"container {container_id[:12]} is not of instance {self._instance}: left alone"
            )


class Performer:
    """Performs one action at a time in each thread that calls it."""

    def __init__(
        self,
        engine: Engine,
        instance: str,
        network: ReplicaNetwork,
        secrets: Secrets,
        mounts: MountPolicy,
        owned: Owned,
        images: HostImages,
        log_defaults: LogDefaults,
    ) -> None:
        self._engine = engine
        self._instance = instance
        self._network = network
        self._secrets = secrets
        self._mounts = mounts
        self._owned = owned
        self._images = images
        self._log_defaults = log_defaults
        self._pulling = True

    def give_up_pulls(self) -> None:
        """Let images that are being pulled go. May be called from any thread."""
        self._pulling = False

    def perform(self, action: Action) -> None:
        """Perform the action. Raises TryLater or Rejected, or Unavailable where no Engine answers."""
        with self._engine.reach() as api, self._refusals(action):
            match action:
                case EnsureImage():
                    self._ensure_image(api, action)
                case CheckCreation():
                    self._check(api, action.replica)
                case CreateReplica():
                    self._create(api, action)
                case StartReplica():
                    self._start(api, action)
                case StopReplica():
                    self._stop(api, action)
                case RemoveReplica():
                    self._remove(api, action)
                case TakeOverRestarts():
                    self._set_restarts(api, action.container_id, "no")
                case GiveBackRestarts():
                    self._set_restarts(api, action.container_id, RESTARTS)

    @contextlib.contextmanager
    def _refusals(self, action: Action) -> Iterator[None]:
        """What the Engine refuses becomes a named error; what it says of the network is remembered."""
        try:
            yield
        except APIError as error:
            failure = _explained(error, action.summary)
            if failure.reason == Reason.IMAGE_MISSING:
                self._images.forget()
            if failure.reason in (Reason.NETWORK_MISSING, Reason.NETWORK_CHANGED):
                self._network.forget()
            raise failure from error

    # --- images

    def _ensure_image(self, api: BoundedClient, action: EnsureImage) -> None:
        self._images.forget()  # whoever asks did not see it there
        spec, image = action.version.app.spec, action.version.image
        may_be_there = image is not None or spec.image_pull_policy != "Always"
        if may_be_there and api.has_image(image.id if image else spec.image):
            return
        if spec.image_pull_policy == "Never":
            raise TryLater(
                Reason.IMAGE_NOT_FOUND,
                f"image {action.version.image_reference} is not on this host, and imagePullPolicy is Never: build or "
                "load it here",
            )
        if image is not None and not image.digest:
            raise TryLater(
                Reason.IMAGE_NOT_FOUND,
                f"image {spec.image} as it was applied ({image.short}) is no longer on this host and came from no "
                "registry: load it again, or change the spec or its restartToken to take what the name means now",
            )
        self._pull(api, action.version.image_reference)

    def _pull(self, api: BoundedClient, image: str) -> None:
        repository, tag = parse_repository_tag(image)
        # The library reads logins once, when it begins; people change them while it runs.
        api.reload_config()
        try:
            # A pull that fails after it has begun is a 200 with an error among its progress.
            for step in api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if "error" in step:
                    raise TryLater(Reason.IMAGE_PULL_FAILED, f"pull {image}: {step['error']}")
                if not self._pulling:  # the Engine ends it as nobody listens any more, and keeps the layers it has
                    raise TryLater(Reason.STOPPING, f"pull {image}: given up, since the controller is stopping")
            self._images.forget()
        except APIError as error:
            raise TryLater(Reason.IMAGE_PULL_FAILED, f"pull {image}: {sentence_of(error)}") from error

    # --- create

    def _create(self, api: BoundedClient, action: CreateReplica) -> None:
        body, archive = self._wanted(api, action), file_archive(action.version)
        try:
            container_id = _create_container(api, body, action.version, action.name)
        except APIError as error:
            if _explained(error).reason != Reason.NAME_TAKEN:
                raise
            self._finish_earlier_create(api, action, archive, error)
            return
        try:
            _place_files_and_start(api, container_id, archive)
        except APIError:
            with contextlib.suppress(NotFound):
                api.remove_container(container_id, v=True)
            raise

    def _wanted(self, api: BoundedClient, action: CreateReplica) -> Json:
        """The request that creates the replica, once everything about it is allowed."""
        self._mounts.check(api, action.version)
        _check_files(action.version.app.spec)
        secrets = self._secrets.of(action.version)
        return create_body(
            action,
            self._instance,
            self._network.name,
            lambda variable: secrets.values[variable.name],
            secrets.digest,
            self._log_defaults.config_of(action.version, lambda: self._log_by_default(api, action.version)),
        )

    def _log_by_default(self, api: BoundedClient, version: Version) -> Json:
        """What the Engine does with the log of a container that is made without options."""
        body = {"Image": version.image_reference, "Cmd": ["-"], "HostConfig": {"NetworkMode": "none"}}
        with self._trial(api, body, version, log_check_name(self._instance)) as container_id:
            config: Json = api.inspect_container(container_id)["HostConfig"].get("LogConfig") or {}
            return config

    def _check(self, api: BoundedClient, action: CreateReplica) -> None:
        """Create the replica but for its address, under another name and as nobody's replica; and remove it again."""
        body = self._wanted(api, action) | {"NetworkingConfig": {}}
        with self._trial(api, body, action.version, f"{action.name}-check") as container_id:
            if archive := file_archive(action.version):
                api.put_archive(container_id, "/", archive)

    @contextlib.contextmanager
    def _trial(self, api: BoundedClient, body: Json, version: Version, name: str) -> Iterator[str]:
        """A container that is created to see what the Engine makes of it, as nobody's replica, and is never started;
        its id. Removed afterwards."""
        with contextlib.suppress(NotFound):  # left by an earlier one that was cut off
            left = api.inspect_container(name)
            if is_ours(left["Config"]["Labels"], self._instance):
                api.remove_container(left["Id"], v=True)
        container_id = _create_container(api, body | {"Labels": ownership_labels(self._instance)}, version, name)
        try:
            yield container_id
        finally:
            api.remove_container(container_id, v=True)

    def _finish_earlier_create(
        self, api: BoundedClient, action: CreateReplica, archive: bytes, refusal: APIError
    ) -> None:
        """Finish a create whose name is taken: by the very container that is wanted, if an earlier attempt was cut
        off."""
        container = api.inspect_container(action.name)
        labels = container["Config"]["Labels"]
        wanted = {SPEC_HASH: action.version.spec_hash, ADDRESS: action.address, APP: action.app_name}
        if not is_ours(labels, self._instance):
            raise TryLater(
                Reason.NAME_TAKEN,
                f"{action.summary}: a container that is not ours has this name ({container['Id'][:12]}, "
                f"{container['Config']['Image']}): rename or remove it",
            )
        if not wanted.items() <= labels.items():
            raise _explained(refusal, action.summary)
        _place_files_and_start(api, container["Id"], archive if container["State"]["Status"] == "created" else b"")

    # --- what exists

    def _start(self, api: BoundedClient, action: StartReplica) -> None:
        self._owned.check(api, action.container_id)
        self._mounts.check_again(api, action.container_id)
        try:
            api.start(action.container_id)
        except APIError as error:
            if _explained(error).reason != Reason.NETWORK_MISSING:
                raise
            self._rejoin_network(api, action.container_id)
            api.start(action.container_id)

    def _rejoin_network(self, api: BoundedClient, container_id: str) -> None:
        """Connect a container to its network, which was removed and made anew while it did not run: by itself it would
        go on looking for the old."""
        container = api.inspect_container(container_id)
        labels = container["Config"]["Labels"]
        api.disconnect_container_from_network(container_id, self._network.name, force=True)
        api.connect_container_to_network(
            container_id,
            self._network.name,
            ipv4_address=labels[ADDRESS],
            aliases=aliases_of(labels[APP], container["Name"].lstrip("/")),
        )

    def _stop(self, api: BoundedClient, action: StopReplica) -> None:
        with contextlib.suppress(NotFound):  # gone is what was asked for
            self._owned.check(api, action.container_id)
            ask_to_end(api, action.container_id)

    def _remove(self, api: BoundedClient, action: RemoveReplica) -> None:
        with contextlib.suppress(NotFound):  # gone is what was asked for
            self._owned.check(api, action.container_id)
            remove_now(api, action.container_id)

    def _set_restarts(self, api: BoundedClient, container_id: str, restart_policy: str) -> None:
        with contextlib.suppress(NotFound):  # the Engine restarts nothing that is gone
            self._owned.check(api, container_id)
            # The library's type would insist on a number of retries, which the Engine refuses for these.
            api.update_container(container_id, restart_policy={"Name": restart_policy})  # type: ignore[arg-type]


def _check_files(spec: AppSpec) -> None:
    """Make sure that files can be placed. The Engine would only say that a file system is read-only, which may as well
    be the host's trouble, and pass."""
    for file in spec.files:
        if volume := spec.read_only_around(file):
            why = f"the volume at {volume.mount_path} is readOnly"
            raise Rejected(
                Reason.CREATE_REFUSED, f"file {file.mount_path} can't be placed, since {why}; correct the spec"
            )


def _explained(error: APIError, doing: str = "") -> ActionError:
    return explain(error.status_code, sentence_of(error), doing)


def _create_container(api: BoundedClient, body: Json, version: Version, name: str) -> str:
    """Create a container by its image's digest or, where the host has it by its id alone, by that: whoever takes away
    the last tag of an image takes its digests away as well."""
    try:
        return api.create(body, name)
    except ImageNotFound:
        if version.image is None or not version.image.digest:
            raise
        return api.create(body | {"Image": version.image.id}, name)


def _place_files_and_start(api: BoundedClient, container_id: str, archive: bytes) -> None:
    if archive:
        api.put_archive(container_id, "/", archive)
    api.start(container_id)
