"""Tests that the reference pages of the docs are what the tables render."""

import pytest

from bench.results.reference import FOLDER, PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_what_its_table_renders(name: str) -> None:
    page = (FOLDER / name).read_text(encoding="utf-8")
    assert page == PAGES[name](), "write it anew with `make reference`"
