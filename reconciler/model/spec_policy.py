"""How an app changes: the strategy of a rollout, and the policy of scaling."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from reconciler.model.spec_types import (
    Count,
    CountFromOne,
    CountOrPercent,
    DnsLabel,
    Part,
    Percent,
    Seconds,
    first_repeated,
    wrong,
)

# What is measured of every app, by the names that decisions use.
BUILT_IN_METRICS = ("cpu", "memory", "rps", "latency", "connections")

_NONE = (0, "0%", "00%")

# Fields that say how many replicas there may be at most.
_SAYS_MOST = frozenset({"replicas", "max_replicas", "paused_at"})


class Canary(Part):
    """A step of a rollout at a share of the traffic, judged by its own requests against the old version's."""

    weight: Annotated[int, Field(ge=1, le=50)] = Field(10, description="Percent of the traffic.")
    hold_seconds: Seconds = Field(
        300, description="How long it is compared before the verdict, counted anew after a restart of the controller."
    )
    max_error_rate_percent: Percent = Field(
        1.0, description="Answers of 500 and above, beyond the old version's share."
    )
    max_p95_ratio: Annotated[float, Field(ge=1, le=100)] = Field(
        1.5, description="How many times the old version's p95 latency its own may be."
    )
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        20, description="With fewer it goes on until there are as many: without a verdict it is never promoted."
    )


class Strategy(Part):
    """How a changed version replaces the old one."""

    max_surge: CountOrPercent | None = Field(
        None,
        description="Replicas above the wanted count during a rollout. Left out: 1, or 0 (stop-first) for an app "
        "that writes to a volume.",
    )
    max_unavailable: CountOrPercent | None = Field(
        None, description="Replicas below the wanted count during a rollout. Left out: 0, or 1 where maxSurge is 0."
    )
    min_ready_seconds: Seconds = Field(0, description="How long a new replica must stay ready to count.")
    progress_deadline_seconds: Annotated[float, Field(gt=0, le=86400)] = Field(
        600, description="A rollout that has no more new replicas ready than before for this long has failed."
    )
    on_failure: Literal["rollback", "pause"] = Field(
        "rollback", description="Return to the last version that was ready, or stop where it is."
    )
    canary: Canary | None = Field(None, description="Try the new version on a share of the traffic first.")

    @model_validator(mode="after")
    def _can_move(self) -> Self:
        if self.max_surge in _NONE and self.max_unavailable in _NONE:
            raise wrong("1 or more where maxSurge is 0, or no replica could ever be replaced", at=("maxUnavailable",))
        return self


class ScheduledBounds(Part):
    """Other bounds from each minute a cron expression matches until another entry's does."""

    cron: Annotated[str, Field(min_length=1, max_length=256)] = Field(description='Five fields, as in "0 8 * * 1-5".')
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        "UTC", description="The IANA time zone the expression is meant in."
    )
    min_replicas: CountFromOne = Field(description="The least replicas.")
    max_replicas: CountFromOne = Field(description="The most replicas.")

    @field_validator("max_replicas")
    @classmethod
    def _in_order(cls, max_replicas: int, info: ValidationInfo) -> int:
        return _at_least_min(max_replicas, info.data.get("min_replicas"))


class CustomMetric(Part):
    """A query to the Prometheus-compatible API named in the controller's settings."""

    name: DnsLabel = Field(
        description="What the metric is called in decisions; none of the built-in ones' names.",
        json_schema_extra={"not": {"enum": list(BUILT_IN_METRICS)}},
    )
    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(description="PromQL with a single value.")
    target_per_replica: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Wanted value per healthy replica; the query gives the total."
    )
    target: Annotated[float, Field(gt=0)] | None = Field(None, description="Wanted value as queried.")

    @field_validator("name")
    @classmethod
    def _of_its_own(cls, name: str) -> str:
        if name in BUILT_IN_METRICS:
            raise wrong(f"a name that no built-in metric has ({', '.join(BUILT_IN_METRICS)})")
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.target is None and self.target_per_replica is None:
            raise wrong("a target or a targetPerReplica", found="neither target nor targetPerReplica")
        if self.target is not None and self.target_per_replica is not None:
            raise wrong("one of target and targetPerReplica", found="both target and targetPerReplica")
        return self


class Scaling(Part):
    """How many replicas, and by which measurements that changes. A metric set to 0 takes no part."""

    mode: Literal["auto", "manual"] = Field("auto", description="By load, or fixed.")
    replicas: Count | None = Field(None, description="The fixed count under `mode: manual`. Left out: minReplicas.")
    min_replicas: CountFromOne = Field(1, description="The least replicas.")
    max_replicas: CountFromOne = Field(
        5,
        description="The most replicas. Left out: 5, or as many as minReplicas for an app that writes to a volume.",
        validate_default=True,
    )
    target_rps_per_replica: Annotated[float, Field(ge=0, le=100_000)] = Field(
        50, description="Requests per second for one replica."
    )
    max_p95_latency_ms: Annotated[float, Field(ge=0, le=600_000)] = Field(
        250, description="Latency that 95 % of the window's requests stay below, in milliseconds."
    )
    max_conn_per_replica: Annotated[float, Field(ge=0, le=100_000)] = Field(
        80, description="Requests in flight for one replica."
    )
    max_cpu_percent: Percent = Field(70, description="Mean cpu, in percent of the limit (of the host without one).")
    max_memory_percent: Percent = Field(75, description="Mean memory, in percent of the limit, likewise.")
    scale_out_threshold_pct: Annotated[float, Field(ge=1, le=100)] = Field(
        80, description="Percent of a target above which replicas are added."
    )
    scale_in_threshold_pct: Annotated[float, Field(ge=1, le=100)] = Field(
        30, description="Percent of every target below which one is removed.", validate_default=True
    )
    window_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(20, description="What measurements span.")
    cooldown_seconds: Seconds = Field(30, description="Quiet time after a change.")
    max_scale_out_step: CountFromOne = Field(3, description="Most replicas added at once.")
    max_scale_in_step: CountFromOne = Field(1, description="Most replicas removed at once.")
    stabilization_window_seconds: Seconds = Field(
        0, description="Scale in only to the highest count recommended during this window."
    )
    strategy: Literal["step", "proportional"] = Field(
        "step", description="In steps, or `ceil(current × factor)` as the Kubernetes HPA does it."
    )
    schedule: tuple[ScheduledBounds, ...] = Field((), description="Other bounds at given times.")
    metrics: tuple[CustomMetric, ...] = Field((), description="Metrics of your own.")
    dry_run: bool = Field(False, description="Record decisions without acting on them.")
    paused_at: Count | None = Field(None, description="Hold this count, whatever the load.")

    @field_validator("replicas")
    @classmethod
    def _manual_only(cls, replicas: int | None, info: ValidationInfo) -> int | None:
        if replicas is not None and info.data.get("mode") == "auto":
            raise wrong("mode: manual beside it, or minReplicas and maxReplicas instead (mode: auto decides by load)")
        return replicas

    @field_validator("max_replicas")
    @classmethod
    def _in_order(cls, max_replicas: int, info: ValidationInfo) -> int:
        return _at_least_min(max_replicas, info.data.get("min_replicas"))

    @field_validator("scale_in_threshold_pct")
    @classmethod
    def _below_scale_out(cls, scale_in: float, info: ValidationInfo) -> float:
        scale_out = info.data.get("scale_out_threshold_pct")
        if scale_out is not None and scale_in >= scale_out:
            raise wrong(f"less than scaleOutThresholdPct ({scale_out:g})")
        return scale_in

    @field_validator("metrics")
    @classmethod
    def _named_once(cls, metrics: tuple[CustomMetric, ...]) -> tuple[CustomMetric, ...]:
        if name := first_repeated([metric.name for metric in metrics]):
            raise wrong("each metric's name once", found=f"{name} twice")
        return metrics

    @property
    def manual_replicas(self) -> int:
        """The count under `mode: manual`."""
        return self.min_replicas if self.replicas is None else self.replicas

    @property
    def gives_most(self) -> bool:
        """Whether it says, in so many words, how many replicas there may be at most."""
        return bool(self.schedule) or not self.model_fields_set.isdisjoint(_SAYS_MOST)


def _at_least_min(max_replicas: int, min_replicas: int | None) -> int:
    if min_replicas is not None and max_replicas < min_replicas:
        raise wrong(f"at least minReplicas ({min_replicas})")
    return max_replicas
