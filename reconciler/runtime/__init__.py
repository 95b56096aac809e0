"""The Docker Engine: what runs on the host, seen in one call and changed by complete actions.

``translate`` and ``failures`` are pure: our values to the Engine's JSON and back, and what its refusals mean.
``engine`` holds the connection, ``actions`` the calls; ``docker`` puts them together behind `ports.Runtime`.

This room never decides anything, and never touches a container that does not carry our labels. Nothing is imported
here: the Engine's library takes a tenth of a second that only commands that need it should pay.
"""
