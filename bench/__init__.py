"""Measuring: knows transports only through their base and registry."""
