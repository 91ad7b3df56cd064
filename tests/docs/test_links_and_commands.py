"""Every link of the pages leads somewhere, and every command that they show is one that there is."""

import re
import shlex
from pathlib import Path

import pytest
import typer.core
import typer.main

from pipeline.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def page_name(page: Path) -> str:
    """Return a page's path below the repository."""
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> list[str]:
    """Return the lines of a page's code blocks and spans that call `cinnamon`, continued lines joined."""
    blocks = re.findall(r"^(?: {4,}|\t)(.*)$", text.replace("\\\n", " "), re.MULTILINE)
    blocks += [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`(cinnamon [^`]+)`", text)
    found = []
    for line in [*blocks, *spans]:
        called = re.search(r"(?:^|[|&;] *|\$ )(?:[A-Z_]+=\S+ +)*(cinnamon [a-z].*)$", line.strip())
        if called:
            found.append(re.split(r" +#| [|&;>]|;", called[1])[0])
    return found


def mistake(line: str) -> str | None:
    """Return what is wrong with a command line: a command or an option that does not exist; none where all is well."""
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while isinstance(command, typer.core.TyperGroup) and words and not words[0].startswith("-"):
        if not re.fullmatch(r"[a-z-]+", words[0]):
            return None  # a placeholder, as in `cinnamon COMMAND --help`
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((f"no option {option}" for option in options if option not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_file_of_the_repository_that_is_named_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:bench|deploy|pipeline|schemas|tests|tools|topics)/[\w/.-]+)`", page.read_text(encoding="utf-8")
    )

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_and_option_exists(page: Path) -> None:
    lines = commands(page.read_text(encoding="utf-8"))

    assert [f"{line}: {found}" for line in lines if (found := mistake(line))] == []


def test_a_command_or_option_that_does_not_exist_is_found() -> None:
    assert mistake("cinnamon topics list") is None
    assert mistake("cinnamon topics lsit") == "no command lsit"
    assert mistake("cinnamon up --simulat 50") == "no option --simulat"


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text("utf-8"))}

    assert [page_name(page) for page in PAGES if page.parent != ROOT and page != index and page not in linked] == []
