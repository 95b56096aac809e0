"""The edge's access log: one line per request, fields separated by tabs, in this order.

The edge renders nginx's ``log_format`` from it and the load meter reads by it, so that the two rooms agree without
knowing each other. No field holds text a client chose, so nothing needs escaping and a line always splits cleanly.

Each worker of nginx writes what it has collected once a second, so that lines come up to a second late, and those of
different workers out of order.

Lists (the ``upstream_`` fields) have one entry per try, separated by a comma and a space, the last being the one that
answered; ``-`` stands for what nginx doesn't know, such as the upstream of a request it answered itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One column: our name for it, and the nginx variable that fills it."""

    name: str
    variable: str


FIELDS = (
    # epoch seconds with milliseconds, when the request ended
    Field("at", "$msec"),
    # the app's name; "-" where no route matched, and where a body was too large to look any further (413)
    Field("app", "$orchestry_app"),
    # "ADDRESS:PORT" of every replica tried
    Field("upstream_addresses", "$upstream_addr"),
    # what each of them answered
    Field("upstream_statuses", "$upstream_status"),
    # seconds from the client's first byte to the last one sent; a websocket's whole life (its status is 101)
    Field("request_seconds", "$request_time"),
    # seconds each replica took, from connecting to its last byte: without the client's own slowness
    Field("upstream_seconds", "$upstream_response_time"),
    # what the client was answered
    Field("status", "$status"),
    Field("bytes_sent", "$bytes_sent"),
    Field("bytes_received", "$request_length"),
)

SEPARATOR = "\t"
LIST_SEPARATOR = ", "
UNKNOWN = "-"
