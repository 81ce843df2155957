"""What README and the site say is so: blocks run, commands exist, links lead somewhere, citations can be followed."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from nova_gym.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
MODULES = [path for folder in ("nova_gym", "envs", "agents", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
#: Steps of training in a block, which take minutes, and what the tests make of them.
LONG, SHORT = re.compile(r"\b1_000_000\b"), "512"


def name(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """All `nova-gym …` in the shell blocks of a page, as lists of arguments."""
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        words = [word for word in words if "=" not in word or word.startswith("-")]  # without PYTHONPATH=. and such
        if words and Path(words[0]).name == "nova-gym":
            yield words[1:]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_blocks_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = LONG.sub(SHORT, "\n".join(blocks(page, "python")))
    exec(compile(code, name(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=name)
def test_shell_commands_exist_with_these_options(page):
    for words in commands(page):
        command, arguments = typer.main.get_command(app), words
        while hasattr(command, "commands") and arguments and arguments[0] in command.commands:
            command, arguments = command.commands[arguments[0]], arguments[1:]
        assert not hasattr(command, "commands"), f"nova-gym {' '.join(words)}: no such command"
        command.make_context("nova-gym", list(arguments))  # an unknown option or a wrong value raises


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_of_a_page_are_there(page):
    text = re.sub(r"^```\w*\n.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_pages_are_all_looked_through():
    assert {"README.md", "docs/first-steps.md", "docs/guides/record.md"} <= {name(page) for page in PAGES}
    assert sum(len(list(commands(page))) for page in PAGES) > 20


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_docstrings_cite_pages_and_sections_that_are_there(module):
    """Such as `docs/how-it-works.md`, "Renderer"."""
    text = re.sub(r"\s+", " ", module.read_text())
    for file, section in re.findall(r'`([\w/.-]+\.md)`(?:, "([^"]+)")?', text):
        assert (ROOT / file).exists(), file
        assert not section or f"# {section}\n" in (ROOT / file).read_text(), f"{file} has no section {section!r}"


def test_the_readme_is_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
