"""The pages of ``docs/reference/`` that are written from the code, so that they cannot disagree with it.

``make docs`` writes them; ``tests/test_reference.py`` fails while one differs from what the code says.
"""

from tools.reference import commands, components, enums, metrics, models, settings, topics

__all__ = ["pages"]

NOTE = "<!-- Written by `make docs` from the code; edit the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of each generated page by the name of its file."""
    written = {
        "channels.md": components.channels_page(),
        "commands.md": commands.page(),
        "documents.md": models.documents_page(),
        "metrics.md": metrics.page(),
        "reasons.md": enums.page(),
        "records.md": models.records_page(),
        "settings.md": settings.page(),
        "sources.md": components.sources_page(),
        "stages.md": components.stages_page(),
        "stores.md": components.stores_page(),
        "topics.md": topics.page(),
    }
    return {name: NOTE + text for name, text in written.items()}
