"""The runtime carries: Faust app, batching transport, producer, checkpoints, settings, metrics."""
