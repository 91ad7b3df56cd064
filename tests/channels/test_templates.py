import time
from typing import Any

import orjson
import pytest

from pipeline.channels.compose import AlertGroup, check_templates, compose
from pipeline.channels.templates import LONGEST_OUTPUT, RenderError, TemplateRefused, check_template, render
from schemas.alert import AlertReason, AlertState
from schemas.channel import Channel
from tests.support.channels.alerts import alert_event

KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{{ ''.__class__ }}", "'__class__'"),
        ("{{ x.__class__.__mro__ }}", "'__mro__'"),
        ("{{ x|attr('__class__') }}", "no filter 'attr'"),
        ("{{ x|map(attribute='__class__') }}", "no filter 'map'"),
        ("{{ x|safe }}", "no filter 'safe'"),
        ("{{ x|center(999999999) }}", "no filter 'center'"),
        ("{{ x|replace('', x) }}", "no filter 'replace'"),
        ("{{ x|tojson(indent=999999999) }}", "take an argument"),
        ("{{ 1|round(999999999) }}", "from 0 to 15"),
        ("{{ 1|round(x) }}", "from 0 to 15"),
        ("{{ x|e|e|e|e }}", "at most 3 filters"),
        ("{{ cycler.__init__.__globals__ }}", "'__globals__'"),
        ("{{ self }}", "'self'"),
        ("{{ x.format(1) }}", "call is not allowed"),
        ("{{ range(999999999) }}", "call is not allowed"),
        ("{{ lipsum() }}", "call is not allowed"),
        ("{{ 'a' * 999999999 }}", "mul is not allowed"),
        ("{{ 9 ** 999999999 }}", "pow is not allowed"),
        ("{{ '%999999999s' % x }}", "mod is not allowed"),
        ("{{ x[0:1] }}", "slice is not allowed"),
        ("{% set x = x ~ x %}", "assign is not allowed"),
        ("{% include '/etc/passwd' %}", "include is not allowed"),
        ("{% import '/etc/passwd' as x %}", "import is not allowed"),
        ("{% extends '/etc/passwd' %}", "extends is not allowed"),
        ("{% macro f() %}{% endmacro %}", "macro is not allowed"),
        ("{% filter upper %}x{% endfilter %}", "filterblock is not allowed"),
        ("{% for a in x recursive %}{% endfor %}", "for is not allowed"),
        ("{% for a in x %}" * 3 + "{% endfor %}" * 3, "at most 2 loops"),
        ("{{ " + "(" * 5000, "nested too deeply"),
        ("{{ " + "not " * 100 + "x }}", "nested too deeply"),
        ("{{ x }}" * 5000, "more than 2000 parts"),
        ("{{ x", "unexpected end of template"),
    ],
)
def test_a_template_that_could_do_harm_is_refused(source: str, found: str) -> None:
    with pytest.raises(TemplateRefused, match=found):
        check_template(source)
    with pytest.raises(TemplateRefused, match=found):
        render(source, {"x": "y"})


@pytest.mark.parametrize("source", ["{{ x['__class__'] }}", "{{ x.format }}", "{{ x|items }}", "{{ nothing.at.all }}"])
def test_what_is_no_value_is_written_as_nothing(source: str) -> None:
    assert render(source, {"x": {"a": 1}}) == ""


def test_a_name_that_there_is_not_is_refused() -> None:
    check_template("{% for alert in alerts %}{{ loop.index }} {{ alert.text }}{% endfor %}", ["alerts"])
    with pytest.raises(TemplateRefused, match="line 2: no value 'alrt'; known: alerts, level"):
        check_template("{{ level }}\n{{ alrt.text }}", ["alerts", "level"])


def test_output_is_cut_off() -> None:
    source = "{% for a in x %}{% for b in x %}{{ a }}{% endfor %}{% endfor %}"
    assert len(render(source, {"x": ["y" * 5000] * 500})) == LONGEST_OUTPUT


def test_a_template_that_takes_long_is_given_up() -> None:
    slow = "{% for a in x %}{% for b in x %}{% if " + " ~ ".join(["a|tojson|tojson"] * 300) + " == b %}z{% endif %}"
    begun_s = time.monotonic()
    with pytest.raises(RenderError, match="longer than"):
        render(slow + "{% endfor %}{% endfor %}", {"x": ['"' * 1000] * 100})
    assert time.monotonic() - begun_s < 10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for a in 'text' %}{% endfor %}", "a loop needs a list"),
        ("{{ x|round }}", "TypeError: type str"),
    ],
)
def test_a_template_that_does_not_go_with_the_values_says_so(source: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        render(source, {"x": "y"})


def channel(template: dict[str, Any], kind: str = "smtp") -> Channel:
    smtp = {"host": "h", "sender": "a@b", "recipients": ["c@d"]}
    of_kind = {"smtp": smtp, "webhook": {"url": {"file": "u"}}}[kind]
    return Channel.model_validate({"id": "c", kind: of_kind, "template": template})


def test_values_are_escaped_in_html_alone() -> None:
    event = alert_event(tags={"host": "<script>alert(1)</script>"})
    message, note = compose(
        AlertGroup(KEY, (event,)), channel({"text": "{{ tags.host }}", "html": "<b>{{ tags.host }}</b>"})
    )
    assert message.text == "<script>alert(1)</script>"
    assert message.html == "<b>&lt;script&gt;alert(1)&lt;/script&gt;</b>"
    assert note == ""


def test_values_are_no_templates() -> None:
    event = alert_event(tags={"host": "{{ 7 + 7 }}"}, text="{{ ''.__class__ }}")
    message, _ = compose(AlertGroup(KEY, (event,)), channel({"subject": "{{ tags.host }}"}))
    assert message.subject == "{{ 7 + 7 }}"
    assert message.text.startswith("{{ ''.__class__ }}")


def test_a_subject_is_one_line() -> None:
    event = alert_event(policy="x\r\nBcc: all@example.org")
    message, _ = compose(AlertGroup(KEY, (event,)), channel({}))
    assert message.subject == "[CRITICAL] ns/mci/web-1: x Bcc: all@example.org"


def test_a_template_that_does_not_work_keeps_nobody_from_being_told() -> None:
    message, note = compose(AlertGroup(KEY, (alert_event(),)), channel({"text": "{{ 1 / 0 }}"}))
    assert "CPU too high" in message.text
    assert note == "template.text was not used: ZeroDivisionError: division by zero"


def test_the_text_of_a_webhook_is_its_document() -> None:
    template = '{"text": {{ text|tojson }}, "n": {{ count }}}'
    message, note = compose(AlertGroup(KEY, (alert_event(text='say "hi"'),)), channel({"text": template}, "webhook"))
    assert (orjson.loads(message.document), note) == ({"text": 'say "hi"', "n": 1}, "")
    message, note = compose(AlertGroup(KEY, (alert_event(),)), channel({"text": "{{ text }}"}, "webhook"))
    assert orjson.loads(message.document)["key"] == KEY
    assert note == "template.text was not used: it came to no JSON"


def test_several_alerts_are_one_message_of_the_worst_level() -> None:
    over = alert_event(
        alert_id="a2",
        policy="disk-full",
        state=AlertState.OK,
        level=None,
        previous_level="warn",
        reason=AlertReason.RECOVERED,
        text="Disk full: OK",
    )
    message, _ = compose(AlertGroup(KEY, (over, alert_event())), channel({}))
    assert message.subject == "[CRITICAL] ns/mci/web-1: disk-full and 1 more"
    assert message.text.splitlines() == [
        "Disk full: OK",
        "  2026-09-21T14:13:20.000+00:00 OK (RECOVERED)",
        "CPU too high: cpu usage_active of ns/mci/web-1 is 91.5, > 80: critical",
        "  2026-09-21T14:13:20.000+00:00 FIRING (FIRST_BREACH)",
        f"ref {KEY}",
    ]
    assert message.level == "critical"


def test_of_many_alerts_the_first_hundred_are_told_and_all_counted() -> None:
    many = tuple(alert_event(alert_id=f"a{number}") for number in range(150))
    message, _ = compose(AlertGroup(KEY, many), channel({}, "webhook"))
    assert len(orjson.loads(message.document)["alerts"]) == 100
    assert message.subject.endswith("and 149 more")


def test_the_templates_of_a_channel_are_checked_before_they_are_used() -> None:
    assert check_templates(channel({"subject": "{{ resource }}", "html": "{{ ''.__class__ }}"})) == [
        "template.html: line 1: '__class__' is not allowed in templates"
    ]
    assert check_templates(channel({"text": "{{ alerts }} {{ key }}"})) == []
