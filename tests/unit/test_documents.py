"""What is written about the project agrees with it."""

import re
from pathlib import Path

import pytest

from mta.config.reference import parameters_reference, services_reference

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_has_its_reason(name: str) -> None:
    reasons = (REPOSITORY / "docs" / "architecture.md").read_text().partition("## Dependencies")[2]
    named = {
        word
        for row in re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE)
        for word in row.split(", ")
    }
    for line in (REPOSITORY / name).read_text().splitlines():
        if line and not line.startswith(("#", "-r ")):
            requirement, _, version = line.partition("==")
            assert requirement in named, f"{requirement} has no reason in docs/architecture.md"
            assert version, f"{line} is not pinned"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, f"{document.name}: no heading {target}"
        elif "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: no file {target}"


def test_make_alone_lists_every_word() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    listed = set(re.findall(r'echo "make (\w+)', makefile))
    assert listed == set(phony.split()) - {"help", "control", "place", "clone"}


@pytest.mark.parametrize(
    ("page", "text"),
    [("parameters.md", parameters_reference()), ("services.md", services_reference())],
)
def test_reference_is_what_the_code_says(page: str, text: str) -> None:
    written = (REPOSITORY / "docs" / "reference" / page).read_text()
    assert written == text, "run `make reference`"
