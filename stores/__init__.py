"""Stores on a server of their own, behind the shop's interface of a store; each vendor library enters here alone."""
