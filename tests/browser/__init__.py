"""Installs what the browser tests need: Chromium, axe and an HTML validator."""
