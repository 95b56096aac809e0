"""Reasons: the one CamelCase word for why something is so, for machines that read `status -o json` and events.

A contract: words are added, none is changed. For people there is always a message beside it.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason there is: of conditions, of back-offs, of failed versions and of failed actions."""

    # What conditions say of an app for which nothing is wrong.
    REPLICAS_READY = "ReplicasReady"
    REPLICAS_NOT_READY = "ReplicasNotReady"
    IDLE = "Idle"
    ACTING = "Acting"
    WAITING = "Waiting"
    ROLLING_OUT = "RollingOut"
    LEAVING = "Leaving"
    SUSPENDED = "Suspended"
    AS_EXPECTED = "AsExpected"

    # What is wrong with an app.
    INVALID_SPEC = "InvalidSpec"
    ABSENT_FROM_SOURCE = "AbsentFromSource"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    ROUTES_REFUSED = "RoutesRefused"
    NO_PROGRESS = "NoProgress"
    UNHEALTHY = "Unhealthy"
    ROLLOUT_FAILED = "RolloutFailed"
    CHECK_FAILED = "CheckFailed"
    CRASH_LOOP = "CrashLoopBackOff"
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    CANARY_FAILED = "CanaryFailed"
    CANARY_UNDECIDED = "CanaryUndecided"
    ENGINE_UNREACHABLE = "EngineUnreachable"

    # Why an action failed.
    ADDRESS_TAKEN = "AddressTaken"
    CONTAINER_GONE = "ContainerGone"
    CREATE_REFUSED = "CreateRefused"
    DISK_FULL = "DiskFull"
    ENGINE_FAILED = "EngineFailed"
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    HOST_PATH_MISSING = "HostPathMissing"
    HOST_PATH_REFUSED = "HostPathRefused"
    IMAGE_MISSING = "ImageMissing"
    IMAGE_NOT_FOUND = "ImageNotFound"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    LEADERSHIP_UNKNOWN = "LeadershipUnknown"
    NAME_TAKEN = "NameTaken"
    NETWORK_CHANGED = "NetworkChanged"
    NETWORK_MISSING = "NetworkMissing"
    NETWORK_UNFIT = "NetworkUnfit"
    NOT_OURS = "NotOurs"
    REMOVAL_IN_PROGRESS = "RemovalInProgress"
    SECRET_CHANGED = "SecretChanged"
    SECRET_MISSING = "SecretMissing"
    SECRET_UNREADABLE = "SecretUnreadable"
    START_FAILED = "StartFailed"
    START_REFUSED = "StartRefused"
    STOPPING = "Stopping"
    VOLUME_FOREIGN = "VolumeForeign"

    # Why the controller can't run at all.
    SOURCE_UNFIT = "SourceUnfit"

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """The reason for a word that only another version knows: the word itself."""
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word


# An image is not to be had: over as soon as somebody has built, loaded or pulled it.
NO_IMAGE = frozenset({Reason.IMAGE_NOT_FOUND, Reason.IMAGE_PULL_FAILED})

# Causes that lie outside the spec: no version is to blame for them, and trying again helps once they are gone.
OUTSIDE = frozenset(
    {
        Reason.ADDRESS_TAKEN,
        Reason.DISK_FULL,
        Reason.ENGINE_UNAVAILABLE,
        Reason.HOST_PATH_MISSING,
        Reason.HOST_PATH_REFUSED,
        Reason.IMAGE_MISSING,
        *NO_IMAGE,
        Reason.LEADERSHIP_UNKNOWN,
        Reason.NAME_TAKEN,
        Reason.NETWORK_CHANGED,
        Reason.NETWORK_MISSING,
        Reason.NETWORK_UNFIT,
        Reason.SECRET_CHANGED,
        Reason.SECRET_MISSING,
        Reason.SECRET_UNREADABLE,
        Reason.STOPPING,
        Reason.VOLUME_FOREIGN,
    }
)
