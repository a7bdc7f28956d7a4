"""The page of commands is what the table of commands renders."""

import re

from bench.cli.commands import COMMANDS
from bench.cli.reference import PAGE, SCHEMA, render_commands, render_schema
from bench.results.settings import SETTINGS


def test_the_page_is_what_the_table_renders() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_commands(), "run `make reference`"


def test_the_schema_of_a_verdict_is_what_its_classes_render() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == render_schema(), "run `make reference`"


def test_every_command_has_a_section_with_each_setting_of_its_own() -> None:
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", render_commands(), re.MULTILINE | re.DOTALL))
    assert len(sections) == len(COMMANDS)
    for command in COMMANDS:
        section = sections[f"harness {command.name}" if command.harness else command.name]
        named = set(re.findall(r"^\| `([A-Z_]+)=`", section, re.MULTILINE))
        shared = set(SETTINGS) if "settings.md" in section else set()
        assert named | shared == set(command.settings)


def test_every_link_of_the_table_leads_to_a_section() -> None:
    page = render_commands()
    headings = {heading.replace(" ", "-") for heading in re.findall(r"^## (.*)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#([\w-]+)\)", page)) == headings
