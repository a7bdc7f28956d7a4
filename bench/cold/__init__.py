"""`make cold`: what the first order on a new connection takes, and the next one on the same, at each level of security.

The services, and their connections to one another, are warm; only the buyer is new. Beside them a line of bytes to a
server that sends it back, over the same TLS and no method at all.
"""
