"""New connections: what the first order on one takes, and the next on the same, at each level of security.

`make cold`, and a part of `make study PROFILE=security`. The services, and their connections to one another, are warm;
only the buyer is new. Beside them a line of bytes to a server that sends it back, over the same TLS and no method at
all.
"""
