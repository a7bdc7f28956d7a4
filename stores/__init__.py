"""Stores on a database server, behind the shop's Store; the server's client library enters here alone."""
