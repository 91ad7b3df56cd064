"""No template takes memory or time beyond its bounds, whatever it multiplies; usual ones are as they were."""

import tracemalloc

import pytest

from pipeline.channels.compose import AlertGroup, compose
from pipeline.channels.templates import RenderError, TemplateRefused, check_template, render
from schemas.channel import Channel
from tests.support.channels.alerts import alert_event

ALERT = {"text": "x" * 1000, "tags": {f"t{number}": "y" * 100 for number in range(20)}}
VALUES = {"alerts": [ALERT] * 100, "text": '"' * 1000, "n": 3}
MOST_BYTES = 16_000_000


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "~".join(["(alerts|tojson)"] * 400) + " }}",
        "{{ " + " + ".join(["(alerts|tojson)"] * 50) + " }}",
        "{{ alerts|tojson|tojson|length }}",
        "{% if (" + "~".join(["alerts"] * 400) + ") == '' %}{% endif %}",
        "{{ [" + ",".join(["alerts"] * 500) + "]|string|length }}",
        "{{ [" + ",".join(["alerts"] * 500) + "]|tojson|length }}",
        "{{ [" + ",".join(["alerts"] * 500) + "]|urlencode|length }}",
        "{{ (" + "~".join(["alerts"] * 100) + ")|title|length }}",
        "{% for a in alerts %}{% for b in alerts %}{% if (alerts|tojson) == 'x' %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in [["
        + ",".join(["alerts"] * 900)
        + "]] %}{% for b in a %}{{ (b|string)|length }}{% endfor %}{% endfor %}",
        "{{ '%999999999d' is even }}",
        "{{ '%999999999d' is odd }}",
        "{{ text|sort }}",
        "{{ text|truncate(1) }}",
    ],
)
def test_what_multiplies_is_a_rendering_error(source: str) -> None:
    check_template(source)
    tracemalloc.start()
    try:
        with pytest.raises(RenderError, match=r"longer than|need a number|needs a list|expected length"):
            render(source, VALUES)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_the_message_of_a_template_that_multiplies_goes_out_with_the_usual_words() -> None:
    text = "{{ " + "~".join(["(alerts|tojson)"] * 400) + " }}"
    smtp = {"host": "h", "sender": "a@b", "recipients": ["c@d"]}
    channel = Channel.model_validate({"id": "c", "smtp": smtp, "template": {"text": text}})
    alerts = tuple(alert_event(alert_id=f"a{number}", text="x" * 1000) for number in range(100))

    message, note = compose(AlertGroup("key", alerts), channel)

    assert message.text.startswith("x" * 1000)
    assert note.startswith("template.text was not used: TimeoutError: its values are together longer than 2000000")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{{ " + "9" * 5000 + " }}", "too large"),
        ("{{ 0x" + "f" * 5000 + " }}", "numbers must be below"),
        ("{% for loop in alerts %}{% endfor %}", "loop"),
    ],
)
def test_what_cannot_be_rendered_is_refused(source: str, found: str) -> None:
    with pytest.raises(TemplateRefused, match=found):
        check_template(source)


@pytest.mark.parametrize(
    "source",
    ["{{ text.format|string }}", "{{ [text.format] }}", "{{ text.upper ~ '' }}", "{{ [alerts.append]|string }}"],
)
def test_no_address_is_written(source: str) -> None:
    assert " at 0x" not in render(source, VALUES)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("{% for a in alerts %}{{ loop.index }},{% endfor %}", "".join(f"{number}," for number in range(1, 101))),
        ("{{ n + 1 }}", "4"),
        ("{{ (n ~ '-' ~ n)|upper }}", "3-3"),
        ("{{ n is odd }} {{ n / 2 }} {{ n // 2 }} {{ nothing|default('x') }}", "True 1.5 1 x"),
        ("{% for k, v in alerts[0].tags|items|sort %}{% if loop.first %}{{ k }}{% endif %}{% endfor %}", "t0"),
        ("{{ (alerts|tojson)|length > 1000 }}", "True"),
    ],
)
def test_usual_templates_are_as_they_were(source: str, output: str) -> None:
    assert render(source, VALUES) == output
