"""Write the generated pages into ``docs/reference/``: ``python -m tools.reference``."""

from pathlib import Path

from tools.reference import pages

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
