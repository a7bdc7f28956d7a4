"""What the tests of the page need: Debian's Chromium, axe and an HTML validator."""
