"""What an Engine's refusals mean, in the words of real Engines."""

from __future__ import annotations

import pytest

from reconciler.ports import Rejected, TryLater
from reconciler.runtime.failures import explain

_RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "


@pytest.mark.parametrize(
    ("status", "sentence", "reason"),
    [
        (
            409,
            'Conflict. The container name "/web-1" is already in use by container "23664b". You have to',
            "NameTaken",
        ),
        (409, "removal of container 23664b is already in progress", "RemovalInProgress"),
        (409, "container is marked for removal and cannot be started", "RemovalInProgress"),
        (404, "No such image: demo:1", "ImageMissing"),
        (404, "no such image: demo:1: No such image: demo:1", "ImageMissing"),
        (404, "No such container: 23664b", "ContainerGone"),
        (404, "network orchestry not found", "NetworkMissing"),
        (403, "Address already in use", "AddressTaken"),
        (
            400,
            "invalid config for network orchestry: invalid endpoint settings:\n"
            "no configured subnet or ip-range contain the IP address 10.99.0.1",
            "NetworkChanged",
        ),
        (500, "Invalid address 10.99.0.1: It does not belong to any of this network's subnets", "NetworkChanged"),
        (
            400,
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            "NetworkUnfit",
        ),
        (500, "no available IPv4 addresses on this network's address pools: orchestry (4c1f)", "NetworkUnfit"),
        (400, "user specified IP address is supported on user defined networks only", "NetworkUnfit"),
        (
            400,
            'invalid mount config for type "bind": bind source path does not exist: /srv/shared',
            "HostPathMissing",
        ),
        (500, _RUNC + "error during container init: cannot allocate memory: unknown", "StartFailed"),
        (400, _RUNC + "openat2 /sys/fs/cgroup/cpu/docker: no such file or directory: unknown", "StartFailed"),
        (500, "write /data: no space left on device", "DiskFull"),
        # A disk of the host's: files inside a read-only volume of the spec's never get as far as the Engine.
        (500, "Error processing tar file(exit status 1): open /data/a: read-only file system", "EngineFailed"),
        (
            500,
            "failed to create endpoint web-1 on network orchestry: adding interface veth1 to bridge br-1 failed: "
            "could not find bridge br-1: route ip+net: no such network interface",
            "EngineFailed",
        ),
        (409, "cannot start a paused container, try unpause instead", "EngineFailed"),
        (503, "", "EngineFailed"),
    ],
)
def test_an_engines_refusal_that_may_pass_is_tried_again(status: int, sentence: str, reason: str) -> None:
    error = explain(status, sentence, "create web-1")
    assert isinstance(error, TryLater)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("status", "sentence", "reason"),
    [
        (400, _RUNC + 'exec: "/nosuch": stat /nosuch: no such file or directory: unknown', "StartRefused"),
        (400, _RUNC + 'exec: "web": executable file not found in $PATH: unknown', "StartRefused"),
        (400, _RUNC + 'exec: "/etc": permission denied: unknown', "StartRefused"),
        (400, _RUNC + 'chdir to cwd ("/srv") set in config.json failed: not a directory: unknown', "StartRefused"),
        (500, "unable to find user nosuch: no matching entries in passwd file", "StartRefused"),
        (500, "Cannot mkdir: /demo is not a directory", "CreateRefused"),
        (500, "source /var/lib/docker/overlay2/78ca/merged/demo is not directory", "CreateRefused"),
        (403, "container rootfs is marked read-only", "CreateRefused"),
        (400, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", "CreateRefused"),
        (400, "Minimum memory limit allowed is 6MB", "CreateRefused"),
        (400, "Duplicate mount point: /x", "CreateRefused"),
        (
            400,
            "create a: volume name is too short, names should be at least two alphanumeric characters",
            "CreateRefused",
        ),
    ],
)
def test_an_engines_refusal_that_only_another_spec_can_mend_is_rejected(
    status: int, sentence: str, reason: str
) -> None:
    error = explain(status, sentence, "create web-1")
    assert isinstance(error, Rejected)
    assert error.reason == reason


def test_a_failed_action_says_what_was_tried_what_the_engine_said_and_what_to_do() -> None:
    error = explain(400, "Minimum memory limit allowed is 6MB\n", "create web-1 at 10.0.0.2")
    assert str(error) == "create web-1 at 10.0.0.2: Minimum memory limit allowed is 6MB; correct the spec"


def test_an_engine_without_words_is_quoted_by_its_status() -> None:
    assert str(explain(503, "", "start web-1")) == "start web-1: the Engine answered 503 and nothing else"
