"""The Engine's JSON and our values, in both directions."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.actions import CreateReplica
from reconciler.model.observed import Container, ContainerState
from reconciler.model.version import Version
from reconciler.ports import TryLater
from reconciler.redaction import MIN_LENGTH_ANYWHERE
from reconciler.runtime import translate
from reconciler.runtime.translate import (
    create_body,
    engine_health_of,
    epoch_seconds,
    exit_code_of,
    file_archive,
    read_listing,
    volume_name,
    without_secrets,
)
from tests.support.apps import app, version

LABELS = {
    "orchestry.managed": "true",
    "orchestry.instance": "default",
    "orchestry.app": "web",
    "orchestry.replica": "2",
    "orchestry.spec-hash": "abc",
    "orchestry.revision": "r1",
    "orchestry.address": "10.0.0.9",
}


def entry(**changes: Any) -> dict[str, Any]:
    """One container as an Engine lists it."""
    endpoint = {"IPAddress": "10.0.0.9", "IPAMConfig": {"IPv4Address": "10.0.0.9"}}
    listed = {
        "Id": "c1",
        "Names": ["/web-2"],
        "Labels": LABELS,
        "ImageID": "sha256:abc",
        "State": "running",
        "Status": "Up 3 minutes",
        "NetworkSettings": {"Networks": {"orchestry": endpoint}},
    }
    return listed | changes


def read(*entries: dict[str, Any], instance: str = "default") -> tuple[Container, ...]:
    return read_listing(entries, instance, "orchestry").containers


def body(**spec: Any) -> dict[str, Any]:
    action = CreateReplica("web", version(**spec), 2, "web-2", "10.0.0.9", 3, cause="test")
    return create_body(action, "default", "orchestry", secret_of=lambda variable: f"secret of {variable.key}")


# What is seen


def test_a_running_replica_is_read_from_the_engines_list() -> None:
    assert read(entry()) == (
        Container("c1", "web-2", "web", 2, "abc", "r1", ContainerState.RUNNING, "10.0.0.9", image_id="sha256:abc"),
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("Exited (137) 3 seconds ago", 137),
        ("Exited (0) About a minute ago", 0),
        ("Restarting (1) Less than a second ago", 1),
        ("Up 3 minutes", None),
        ("Up 3 minutes (healthy)", None),
        ("Created", None),
        ("Dead", None),
        ("", None),
    ],
)
def test_the_exit_code_is_read_from_the_status(status: str, code: int | None) -> None:
    assert exit_code_of(status) == code


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Up 3 minutes", ""),
        ("Up 3 minutes (healthy)", "healthy"),
        ("Up About a minute (unhealthy)", "unhealthy"),
        ("Up Less than a second (health: starting)", "starting"),
        ("Up 3 minutes (Paused)", ""),
        ("Exited (137) 3 seconds ago", ""),
        ("", ""),
    ],
)
def test_what_the_engines_own_check_says_is_read_from_the_status(status: str, verdict: str) -> None:
    assert engine_health_of(status) == verdict


@pytest.mark.parametrize("state", list(ContainerState))
def test_every_state_of_the_engine_is_known(state: ContainerState) -> None:
    assert read(entry(State=str(state)))[0].state is state


def test_a_container_state_that_nobody_knows_is_an_error_rather_than_a_guess() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(entry(State="frozen"))


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ({"orchestry": {"IPAddress": "10.0.0.7", "IPAMConfig": {"IPv4Address": "10.0.0.9"}}}, "10.0.0.7"),
        ({"orchestry": {"IPAddress": "", "IPAMConfig": {"IPv4Address": "10.0.0.8"}}}, "10.0.0.8"),
        ({"orchestry": {"IPAddress": "", "IPAMConfig": None}}, "10.0.0.9"),
        ({"other": {"IPAddress": "10.1.0.1"}}, "10.0.0.9"),
        ({}, "10.0.0.9"),
        (None, "10.0.0.9"),
    ],
)
def test_the_address_of_a_container_is_the_real_one_else_the_one_asked_for(networks: Any, address: str) -> None:
    assert read(entry(NetworkSettings={"Networks": networks}))[0].address == address


@pytest.mark.parametrize(
    "changes",
    [
        {"orchestry.managed": "false"},
        {"orchestry.instance": "other"},
        {"orchestry.app": ""},
        {"orchestry.replica": "two"},
        {"orchestry.replica": "-2"},
        {"orchestry.replica": "3"},
    ],
)
def test_labels_that_are_not_a_replicas_make_a_foreign_container(changes: dict[str, str]) -> None:
    listing = read_listing([entry(Labels=LABELS | changes)], "default", "orchestry")
    assert listing.containers == ()
    assert listing.foreign_names == {"web-2"}
    assert listing.foreign_addresses == {"10.0.0.9"}


def test_a_container_without_labels_or_names_is_foreign_and_nameless() -> None:
    listing = read_listing([entry(Labels=None, Names=None, NetworkSettings=None)], "default", "orchestry")
    assert (listing.containers, listing.foreign_names, listing.foreign_addresses) == ((), frozenset(), frozenset())


def test_a_link_to_a_container_is_no_name_of_its_own() -> None:
    assert read(entry(Names=["/other/alias", "/web-2"]))[0].name == "web-2"


def test_the_order_of_the_engines_list_does_not_matter_for_what_is_foreign() -> None:
    entries = [entry(), entry(Id="c2", Names=["/a"], Labels={}), entry(Id="c3", Names=["/b"], Labels={})]
    forwards, backwards = (read_listing(e, "default", "orchestry") for e in (entries, entries[::-1]))
    assert forwards.foreign_names == backwards.foreign_names == {"a", "b"}


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
        ("1970-01-01T01:00:10.5+01:00", 10.5),
    ],
)
def test_times_of_the_engine_are_read_as_epoch_seconds(timestamp: str, seconds: float | None) -> None:
    assert epoch_seconds(timestamp) == seconds


# What is asked for


def test_a_plain_app_is_created_with_little() -> None:
    assert body(image="demo:1") == {
        "Image": "demo:1",
        "Env": [],
        "Labels": LABELS
        | {
            "orchestry.spec-hash": version(image="demo:1").spec_hash,
            "orchestry.secrets": "",
            "orchestry.secrets-digest": "",
            "orchestry.defaults": "2",
            "orchestry.image": "demo:1",
            "orchestry.replica": "2",
        },
        "ExposedPorts": {"8080/tcp": {}},
        "StopTimeout": 10,
        "HostConfig": {
            "NetworkMode": "orchestry",
            "RestartPolicy": {"Name": "unless-stopped"},
            "Mounts": [],
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                "orchestry": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["web", "web-2"]},
            }
        },
    }


def test_labels_of_a_spec_reach_the_container_and_are_no_part_of_its_hash() -> None:
    labels = body(labels={"team": "shop", "app": "web"})["Labels"]
    assert labels == body()["Labels"] | {"team": "shop", "app": "web"}


def test_every_label_of_ours_is_given_so_that_none_of_an_image_counts() -> None:
    ours = {value for value in vars(translate).values() if isinstance(value, str) and value.startswith("orchestry.")}
    assert ours
    assert body()["Labels"].keys() == ours


def test_labels_of_ours_win_against_those_of_a_spec() -> None:
    wanted = version()
    labels = {"orchestry.app": "other", "team": "shop"}
    metadata = wanted.app.metadata.model_copy(update={"labels": labels})
    forged = replace(wanted, app=wanted.app.model_copy(update={"metadata": metadata}))
    action = CreateReplica("web", forged, 2, "web-2", "10.0.0.9", 3, cause="test")
    made = create_body(action, "default", "orchestry", secret_of=lambda variable: "")["Labels"]
    assert (made["orchestry.app"], made["team"]) == ("web", "shop")


def test_command_arguments_and_directory_reach_the_container() -> None:
    made = body(command=["/bin/web", "-v"], args=["--port", "80"], workingDir="/srv")
    assert (made["Entrypoint"], made["Cmd"], made["WorkingDir"]) == (["/bin/web", "-v"], ["--port", "80"], "/srv")


@pytest.mark.parametrize("init", [True, False])
def test_an_init_process_is_asked_for_or_refused_where_a_spec_says_so(init: bool) -> None:
    assert body(init=init)["HostConfig"]["Init"] is init


def test_containers_of_the_first_edition_of_defaults_go_on_without_an_init_process() -> None:
    action = CreateReplica("web", replace(version(), defaults=1), 2, "web-2", "10.0.0.9", 3, cause="test")
    assert create_body(action, "default", "orchestry", secret_of=lambda _: "")["HostConfig"]["Init"] is False


def test_limits_of_a_container_leave_no_swap() -> None:
    config = body(resources={"cpu": "250m", "memory": "64Mi", "pids": 20})["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == 64 * 2**20
    assert (config["NanoCpus"], config["PidsLimit"]) == (250_000_000, 20)


def test_a_resources_block_fills_in_what_it_leaves_out() -> None:
    config = body(resources={})["HostConfig"]
    assert (config["Memory"], config["NanoCpus"]) == (512 * 2**20, 500_000_000)
    assert "PidsLimit" not in config


def test_every_source_of_an_environment_variable_reaches_the_container() -> None:
    variables = [
        {"name": "LEVEL", "value": "a=b"},
        {"name": "IP", "source": "sdk", "key": "instance.ip"},
        {"name": "PORT", "source": "sdk", "key": "instance.port"},
        {"name": "APP", "source": "sdk", "key": "app.name"},
        {"name": "COUNT", "source": "sdk", "key": "app.replicas"},
        {"name": "PASSWORD", "source": "secret", "key": "database", "field": "password"},
    ]
    made = body(environment=variables)
    assert made["Env"] == [
        "LEVEL=a=b",
        "IP=10.0.0.9",
        "PORT=8080",
        "APP=web",
        "COUNT=3",
        "PASSWORD=secret of database",
    ]
    assert made["Labels"]["orchestry.secrets"] == "PASSWORD"


def test_a_worker_exposes_no_port() -> None:
    assert body(type="worker")["ExposedPorts"] == {}


def test_an_error_about_a_secret_passes_through_the_translation() -> None:
    def refuse(_: object) -> str:
        raise TryLater("SecretMissing", "not there")

    wanted = version(environment=[{"name": "A", "source": "secret", "key": "a"}])
    with pytest.raises(TryLater):
        create_body(CreateReplica("web", wanted, 1, "web-1", "10.0.0.9", 1, ""), "default", "orchestry", refuse)


def test_volumes_are_mounts_so_that_no_host_path_is_created_by_mistake() -> None:
    volumes = [
        {"name": "data", "mountPath": "/data", "readOnly": True},
        {"hostPath": "/srv/shared", "mountPath": "/shared"},
    ]
    ownership = {"orchestry.managed": "true", "orchestry.instance": "default"}
    assert body(volumes=volumes)["HostConfig"]["Mounts"] == [
        {
            "Type": "volume",
            "Source": "data",
            "Target": "/data",
            "ReadOnly": True,
            "VolumeOptions": {"Labels": ownership},
        },
        {"Type": "bind", "Source": "/srv/shared", "Target": "/shared", "ReadOnly": False},
    ]


def test_only_the_default_instance_uses_a_volumes_bare_name() -> None:
    assert volume_name("data", "default") == "data"
    assert volume_name("data", "staging") == "staging-data"


def test_files_become_an_archive_to_unpack_at_the_root() -> None:
    files = [{"path": "conf/a.ini", "mountPath": "/etc/app/a.ini", "mode": "0640"}]
    made = Version.of(app(files=files), "r1", "web.yaml", {"conf/a.ini": b"x=1\n"})
    with tarfile.open(fileobj=io.BytesIO(file_archive(made))) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.mode, member.uid) == ("etc/app/a.ini", 0o640, 0)
        content = archive.extractfile(member)
        assert content is not None
        assert content.read() == b"x=1\n"


def test_a_version_without_files_has_no_archive() -> None:
    assert file_archive(version()) == b""


# What must not be told


def hide(text: str, **variables: str) -> str:
    env = [f"{name}={value}" for name, value in variables.items()]
    return without_secrets(text, {"Env": ["LEVEL=info", *env], "Labels": {"orchestry.secrets": ",".join(variables)}})


def test_secret_values_are_taken_out_of_a_log() -> None:
    assert hide("connecting as swordfish at info", PASSWORD="swordfish") == "connecting as *** at info"


def test_a_secret_of_several_lines_is_taken_out_line_by_line() -> None:
    assert hide("second\nthird", KEY="first\nsecond\nthird") == "***\n***"


def test_a_secret_inside_another_leaves_no_rest_in_a_log() -> None:
    assert hide("hunter22 hunter2", A="hunter2", B="hunter22") == "*** ***"


def test_without_secrets_a_log_is_left_as_it_is() -> None:
    assert without_secrets("as it is", {"Env": ["A=as"], "Labels": {"orchestry.secrets": ""}}) == "as it is"
    assert without_secrets("as it is", {"Env": None, "Labels": None}) == "as it is"


def test_a_short_secret_leaves_messages_readable() -> None:
    said = "web-1 listens on port 8080 for a fee of 1"
    assert hide(said, A="1", B="a", C="on", D="", E="fee", F="\n\n1") == said


def test_a_secret_of_a_few_characters_is_taken_out_where_it_is_a_word() -> None:
    assert hide("root: chroot as root_1, 'root' or uproot", USER="root") == "***: chroot as ***_1, '***' or uproot"
    assert hide(r"said \"one\nroot\"", USER="root") == r"said \"one\n***\""
    assert hide("a-pin!b", PIN="-pin!") == "a***b"


def test_a_mask_is_never_taken_for_a_secret() -> None:
    assert hide("swordfish ****", A="swordfish", B="****") == "*** ***"


TEXTS = st.text(st.characters(exclude_characters="*"))


@given(st.text(st.characters(exclude_characters="*"), min_size=MIN_LENGTH_ANYWHERE), TEXTS, TEXTS)
def test_no_line_of_a_long_secret_remains_in_a_log(secret: str, before: str, after: str) -> None:
    shown = hide(f"{before}{secret}{after}", SECRET=secret)
    for line in secret.splitlines():
        assert len(line) < MIN_LENGTH_ANYWHERE or line not in shown
