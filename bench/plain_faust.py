"""The job as a plain Faust program: one event a message, windows in plain Python, Faust's own producer."""

import argparse
import asyncio
import signal
from typing import TYPE_CHECKING

import faust
from faust.types import StreamT

from bench.measured import Clock
from bench.plain_windows import PlainWindows

if TYPE_CHECKING:
    from collections.abc import Awaitable


def make_app(*, bootstrap_servers: str, topic: str, out: str, messages: int, partitions: int = 4) -> faust.App:
    """Return an app that reads that many messages, writes their windows, prints the cost and ends."""
    app = faust.App(
        out,
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        topic_partitions=partitions,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0.005,
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    destination = app.topic(out, value_type=bytes, value_serializer="raw")

    @app.agent(source)
    async def aggregate(stream: StreamT[bytes]) -> None:
        windows = [PlainWindows() for _ in range(partitions)]
        sent: list[Awaitable[object]] = []
        read = 0
        clock = None
        async for event in stream.events():
            if clock is None:
                clock = Clock()
            read += 1
            for record in windows[event.message.partition].add(event.value):
                sent.append(await destination.send(value=record))
            if read == messages:
                await asyncio.gather(*sent)
                print(clock.measured("plain Faust agent", messages=read, windows=len(sent)).to_json(), flush=True)
                signal.raise_signal(signal.SIGTERM)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--messages", type=int, required=True)
    arguments = parser.parse_args()
    app = make_app(
        bootstrap_servers=arguments.bootstrap,
        topic=arguments.topic,
        out=arguments.out,
        messages=arguments.messages,
    )
    faust.Worker(app, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
