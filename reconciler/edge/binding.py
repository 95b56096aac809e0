"""Whether an address and port can be had, found out by having them for a moment.

It says what the kernel says. What that means to people is for whoever asks.
"""

from __future__ import annotations

import socket


def refusal(host: str, port: int) -> OSError | None:
    """Why nginx could not listen there; None where it could. IPv6 is asked for alone, as nginx does."""
    is_ipv6 = ":" in host
    try:
        with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_ipv6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host.strip("[]"), port))
    except OSError as error:
        return error
    return None
