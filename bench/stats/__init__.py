"""Statistics: numbers in, numbers out, with no import of other packages of ours.

Every formula cites its source.
"""
