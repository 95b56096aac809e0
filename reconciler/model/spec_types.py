"""The words an app spec is written in: names, paths, quantities, counts; and the base of every part of it.

A type says what it accepts in two ways: a rule for machines, and for whatever the rule alone doesn't tell, one
sentence for people (``patternErrorMessage``, the keyword editors show). The loader's errors, the JSON Schema and the
reference all quote that one sentence. Nothing here coerces: ``"3"`` is not 3 and ``yes`` is not a string, since a
guess here becomes a container there.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

_ACRONYMS = {
    "target_rps_per_replica": "targetRPSPerReplica",
    "max_p95_latency_ms": "maxP95LatencyMs",
    "max_cpu_percent": "maxCPUPercent",
}


def yaml_name(attribute: str) -> str:
    """How an attribute is spelled in YAML."""
    return _ACRONYMS.get(attribute) or to_camel(attribute)


class Part(BaseModel):
    """Base of every part of a spec: strict types, no unknown fields, immutable, camelCase in YAML."""

    model_config = ConfigDict(
        alias_generator=yaml_name,
        populate_by_name=True,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
    )


def wrong(expected: str, *, found: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """An error to raise from a validator: what would be right and, where the value alone doesn't tell, what was found.

    ``at`` leads from the validated value to the field that is to blame, by names as in YAML.
    """
    return PydanticCustomError("rule", "{expected}", {"expected": expected, "found": found, "at": at})


def first_repeated(values: list[Any]) -> Any:
    """The first value that stands there twice; None where all differ."""
    return next((value for index, value in enumerate(values) if value in values[:index]), None)


def _form(pattern: str, meaning: str, max_length: int) -> Any:
    return Field(pattern=pattern, max_length=max_length, json_schema_extra={"patternErrorMessage": meaning})


# ---- names and texts

Text = Annotated[str, _form(r"^[^\x00]*$", "text, in quotes where it looks like a number, true, false or yes", 131_072)]
DnsLabel = Annotated[
    str,
    _form(
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "a DNS label: 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends",
        63,
    ),
]
HostName = Annotated[
    str,
    _form(
        r"^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "a DNS name in lower case such as shop.example.com, with *. in front for all its subdomains",
        253,
    ),
]
EnvName = Annotated[
    str,
    _form(r"^[A-Za-z_][A-Za-z0-9_.-]*$", "a variable's name: letters, digits and _.-, no digit first", 256),
]
SecretName = Annotated[
    str,
    _form(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "a name of letters, digits and ._-, a letter or digit first", 253),
]
HeaderName = Annotated[
    str,
    _form(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "an HTTP header's name: letters, digits and !#$%&'*+-.^_`|~", 256),
]
HeaderValue = Annotated[str, _form(r"^[\x20-\x7e]*$", "printable ASCII text", 4096)]

_DOMAIN = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/"
_COMPONENT = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
ImageName = Annotated[
    str,
    _form(
        rf"^({_DOMAIN})?{_COMPONENT}(/{_COMPONENT})*(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$",
        "an image such as registry.example/team/web:1.4.2 (the name in lower case)",
        512,
    ),
]

# ---- paths

_SEGMENT = r"([^/\x00-\x1f:.]|\.[^/\x00-\x1f:.]|\.\.[^/\x00-\x1f:])[^/\x00-\x1f:]*"
UrlPath = Annotated[
    str,
    _form(r"^/[A-Za-z0-9._~/-]*$", "a URL path: / first, then letters, digits and -._~/", 1024),
]
AbsolutePath = Annotated[
    str,
    _form(rf"^(/|(/{_SEGMENT})+/?)$", "an absolute path without :, control characters, empty, . and .. parts", 4096),
]
MountPath = Annotated[
    str,
    _form(rf"^(/{_SEGMENT})+$", "an absolute path below / without :, control characters, empty, . and .. parts", 4096),
]
RelativePath = Annotated[
    str,
    _form(
        rf"^{_SEGMENT}(/{_SEGMENT})*$",
        "a path relative to the spec's own directory, never leading out of it: no / first, no empty, . and .. parts",
        1024,
    ),
]

# ---- numbers

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=1000)]
CountFromOne = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=86400)]
Period = Annotated[float, Field(ge=0.1, le=86400)]
Percent = Annotated[float, Field(ge=0, le=100)]

_PERCENT = re.compile(r"(100|[0-9]{1,2})%")
_COUNT_OR_PERCENT = "a whole number from 0 to 1000, or a percentage from 0% to 100% such as 25%"


def _is_count_or_percent(value: object) -> object:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000
    if counted or (isinstance(value, str) and _PERCENT.fullmatch(value)):
        return value
    raise wrong(_COUNT_OR_PERCENT)


CountOrPercent = Annotated[
    Annotated[int, Field(ge=0, le=1000)] | Annotated[str, Field(pattern=rf"^{_PERCENT.pattern}$")],
    BeforeValidator(_is_count_or_percent),
    Field(json_schema_extra={"patternErrorMessage": _COUNT_OR_PERCENT}),
]


def _is_token(value: object) -> object:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value
    raise wrong("text or a whole number")


Token = Annotated[int | str, BeforeValidator(_is_token)]

# ---- quantities

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([A-Za-z]*)")
_MEMORY_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "K": 1000, "M": 1000**2, "G": 1000**3}
_MEMORY_UNITS |= {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_CPU = "cores such as 0.5 or 2, or millicores such as 500m; at least 10m, at most 1024 cores"
_MEMORY = "a memory size such as 512Mi, 1Gi, 500M or 512m; at least 6Mi (the Engine's own minimum), at most 64 TiB"
_SIZE = "a size such as 1Mi, 10M or 512Ki, at most 64 TiB; 0 for no limit"
_LOG_SIZE = "a size such as 10M, 10Mi or 512Ki; at least 1Ki, at most 64 TiB"
_MIN_LOG_BYTES = 1024
_MIN_MEMORY_BYTES = 6 * 1024**2
_MAX_BYTES = 64 * 1024**4


def memory_bytes(quantity: str) -> int:
    """Bytes of a memory quantity: Ki Mi Gi (1024), K M G (1000), or Docker's own k m g (1024)."""
    match = _QUANTITY.fullmatch(quantity)
    if not match or match[2] not in _MEMORY_UNITS:
        raise ValueError(_MEMORY)
    return int(float(match[1]) * _MEMORY_UNITS[match[2]])


def cpu_millicores(quantity: str) -> int:
    """Thousandths of a core of a cpu quantity: cores (``0.5``, ``2``) or millicores (``500m``)."""
    match = _QUANTITY.fullmatch(quantity)
    if not match or match[2] not in ("", "m"):
        raise ValueError(_CPU)
    return round(float(match[1]) * (1 if match[2] else 1000))


def _is_cpu(value: object) -> object:
    typed = isinstance(value, str | int | float) and not isinstance(value, bool)
    if typed and _QUANTITY.fullmatch(str(value)) and 10 <= cpu_millicores(str(value)) <= 1_024_000:
        return value
    raise wrong(_CPU)


def _bytes_within(value: object, min_bytes: int) -> bool:
    typed = isinstance(value, str | int) and not isinstance(value, bool)
    match = _QUANTITY.fullmatch(str(value)) if typed else None
    if match is None or match[2] not in _MEMORY_UNITS:
        return False
    return min_bytes <= memory_bytes(str(value)) <= _MAX_BYTES


def _is_memory(value: object) -> object:
    if _bytes_within(value, _MIN_MEMORY_BYTES):
        return value
    raise wrong(_MEMORY)


def _is_size(value: object) -> object:
    if isinstance(value, str) and _bytes_within(value, 0):
        return value
    raise wrong(_SIZE)


def _is_log_size(value: object) -> object:
    if _bytes_within(value, _MIN_LOG_BYTES):
        return value
    raise wrong(_LOG_SIZE)


def _quantity(meaning: str) -> Any:
    return Field(json_schema_extra={"patternErrorMessage": meaning})


CpuQuantity = Annotated[int | float | str, BeforeValidator(_is_cpu), _quantity(_CPU)]
MemoryQuantity = Annotated[int | str, BeforeValidator(_is_memory), _quantity(_MEMORY)]
SizeQuantity = Annotated[str, BeforeValidator(_is_size), _quantity(_SIZE)]
LogSize = Annotated[int | str, BeforeValidator(_is_log_size), _quantity(_LOG_SIZE)]
