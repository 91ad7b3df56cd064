"""A simulated fleet of virtual machines: what their Telegraf agents would send."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import ClassVar, Self

import numpy as np

from pipeline.sources.base import RawRecord, Source, SourceOptions
from pipeline.sources.fleet.format import FORMATS, ending, template
from pipeline.sources.fleet.hosts import Host, hosts_of
from pipeline.sources.fleet.incidents import Incident, IncidentKind, IncidentPlan
from pipeline.sources.fleet.state import EXTRA_TAGS, FIELDS, FleetState

MESSAGES_PER_HOST = len(FIELDS)
"""Messages of one host at each tick, one for each measurement."""

MAX_HOSTS = 200_000


class Fleet(Source):
    """Makes the messages of a fleet, tick by tick; the same arguments make the same bytes.

    Parameters
    ----------
    hosts
        How many machines.
    seed
        Of all chance.
    start_ms
        The first tick's time in UTC milliseconds.
    interval_ms
        The time between two ticks.
    message_format
        ``influx`` (line protocol) or ``json``. JSON times are whole seconds, as Telegraf writes them by default.
    calm_ms
        How long nothing goes wrong: a history to learn from.
    on_incident
        Called with each incident as it begins: the ground truth.

    Raises
    ------
    ValueError
        If a number is out of bounds, the format is unknown, or JSON is asked for on a grid finer than seconds.
    """

    name: ClassVar = "fleet"
    summary: ClassVar = "A simulated fleet of virtual machines, with incidents that are known."
    options: ClassVar = ("interval_ms", "start_ms", "hosts", "seed", "message_format", "on_incident")

    def __init__(
        self,
        hosts: int,
        seed: int,
        start_ms: int,
        interval_ms: int,
        *,
        message_format: str = "influx",
        calm_ms: int = 0,
        on_incident: Callable[[Incident], None] | None = None,
    ) -> None:
        if not 1 <= hosts <= MAX_HOSTS:
            raise ValueError(f"a fleet has 1 to {MAX_HOSTS} hosts, not {hosts}")
        if interval_ms < 1:
            raise ValueError(f"the interval must be at least 1 ms, not {interval_ms}")
        if message_format not in FORMATS:
            raise ValueError(f"unknown format {message_format!r}: use one of {', '.join(FORMATS)}")
        if message_format == "json" and (start_ms % 1000 or interval_ms % 1000):
            raise ValueError("JSON has whole seconds: start and interval must be multiples of 1000 ms")
        rng = np.random.default_rng(seed)
        self._hosts = hosts_of(hosts, rng)
        self._state = FleetState(self._hosts, rng, interval_ms=interval_ms)
        self._plan = IncidentPlan(self._hosts, rng, start_ms=start_ms + calm_ms, interval_ms=interval_ms)
        self._on_incident = on_incident
        self._format = message_format
        self._now_ms = start_ms
        self._interval_ms = interval_ms
        self._keys = [host.resource.encode() for host in self._hosts]
        self._templates = {
            measurement: [
                template(message_format, measurement, host.tags | EXTRA_TAGS[measurement], fields)
                for host in self._hosts
            ]
            for measurement, fields in FIELDS.items()
        }

    @classmethod
    def open(cls, options: SourceOptions) -> Self:
        """Return the fleet of the options."""
        return cls(
            options.hosts,
            options.seed,
            options.start_ms,
            options.interval_ms,
            message_format=options.message_format,
            on_incident=options.on_incident,
        )

    @classmethod
    def title(cls, options: SourceOptions) -> str:
        """Return what a fleet is called: by its size."""
        return f"simulated fleet of {options.hosts:,}"

    def batches(self, stop: Event) -> Iterator[list[RawRecord]]:  # noqa: ARG002  nothing is waited for
        """Yield tick by tick, without an end."""
        return iter(self)

    @property
    def hosts(self) -> list[Host]:
        """The machines."""
        return list(self._hosts)

    def __iter__(self) -> Iterator[list[RawRecord]]:
        """Go on tick by tick, without an end."""
        while True:
            yield self.tick()

    def tick(self) -> list[RawRecord]:
        """Return the messages of the next tick: for each measurement one of each host that is not silent."""
        now_ms = self._now_ms
        self._now_ms += self._interval_ms
        incidents, begun = self._plan.at(now_ms)
        if self._on_incident is not None:
            for incident in begun:
                self._on_incident(incident)
        values = self._state.advance(now_ms, incidents)
        end = ending(self._format, now_ms)
        messages = []
        for measurement, columns in values.items():
            rows = zip(*[column.tolist() for column in columns], strict=True)
            messages += [
                RawRecord(key, form % row + end, now_ms)
                for key, form, row in zip(self._keys, self._templates[measurement], rows, strict=True)
            ]
        silent = {incident.resource.encode() for incident in incidents if incident.kind is IncidentKind.HOST_SILENT}
        return [message for message in messages if message.key not in silent] if silent else messages
