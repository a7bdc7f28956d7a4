"""The transports: REST, gRPC, broker, events and memory, behind one interface.

Their packages do not import one another; what they share is in base.py and the other modules of this folder.
"""
