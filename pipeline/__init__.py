"""Cinnamon: the monitoring pipeline for multi-cloud fleets.

The map of the house. Imports go down this page and never up (an import-linter contract holds it so); only
``pipeline/runtime/`` and ``pipeline/stages/`` know Faust, and ``pipeline/core/`` touches nothing outside of itself.

::

    pipeline/  the program
        __main__.py  python -m pipeline, the same as the command
        factory.py   where everything meets: all sections of the settings as one model

    pipeline/cli/  the cinnamon command: one file a command, and what they share
        worker.py        the stages against a real Kafka
        control.py       the HTTP API, and its keys
        simulate.py      a fleet that sends to a real Kafka
        aggregate.py     the worker's windows over a file
        parse.py         what is read in a file, metric by metric
        alerts.py        what fired, changed and ended; what is open
        policy.py        applies, lists and deletes policies
        channel.py       tries channels out, seals secrets
        policy_files.py  policies in files, or every mistake in them
        doctor.py        what cannot be reached, lags, or sends carelessly
        audit.py         whether every sample of a period is accounted for
        audit_output.py  its report printed
        topics.py        list, check, apply and render the topics
        stores.py        check and make the databases
        config.py        the settings in force, or every mistake in them
        schemas.py       the JSON Schema files of the records
        kernels.py       the kernels compiled before a command needs them
        loading.py       how commands take their settings
        output.py        how they write results
        signals.py       Ctrl-C and SIGTERM as events
        times.py         how durations and moments are written

    pipeline/cli/up/  cinnamon up: everything on this machine
        command.py         broker, worker, store and source on this machine
        session.py         one run of it: start all, watch, let it finish, stop
        output.py          its three ways to report: live view, lines, JSON
        live_view.py       the screen, drawn from a state
        pipeline_state.py  what is known of a running pipeline at one moment
        recent_alerts.py   which alerts there were lately
        recent_windows.py  what its store has lately got
        worker_client.py   what the worker says on its web port, as numbers
        local_pipeline.py  broker, topics, worker and control service as children
        local_source.py    what feeds it: a source in a thread

    pipeline/cli/series/  commands over files: detect, scorecard, downsample, backtest
        detect.py             the anomalies of series in CSV files
        downsample.py         the kept points of a series in a CSV file
        downsample_report.py  what is kept of series, how far off, and why
        scorecard.py          what detection would have reported on a history
        plot.py               a series drawn with characters
        image.py              series drawn into a PNG
        backtest.py           when policies would have fired on a history
        backtest_files.py     files through the triggers
        files.py              CSV files as columns of times and values

    pipeline/cli/query/  cinnamon query: windows and series back from stores
        command.py  windows back from a store
        series.py   series back from all stores
        options.py  what both ask

    pipeline/cli/dead_letters/  cinnamon dead-letters: list, show, replay
        command.py  list, show and replay dead letters
        rows.py     them counted, and the newest kept
        output.py   them printed

    pipeline/audit/  proves or refutes: reads what was written, and counts anew
        run.py             one audit from start to end
        window_log.py      the windows of metrics.agg, each checked
        window_rows.py     windows as rows
        raw_log.py         the samples of metrics.raw as rows
        recompute.py       the windows computed again
        stored_windows.py  the stores beside metrics.agg
        dead_letters.py    the dead letters
        spill.py           rows on disk: joined in bounded memory
        naming.py          offenders by name
        report.py          what was found

    pipeline/control/  serves: the HTTP API and the database behind it
        metrics.py          what it counts
        settings.py         its port, its database, whom it trusts
        service.py          the service from start to a clean end
        app.py              the API put together
        loading.py          documents of files put into the database
        families.py         the kinds of documents
        channel_secrets.py  secrets given once, sealed, never shown
        documents.py        documents in the database
        alerts.py           alerts, and what is said of them
        actions.py          what was done about them
        backtest.py         a policy tried on samples
        outbox.py           changes to the topic policies, in order
        followers.py        alerts and actions from their topics
        leadership.py       which of several instances does both
        background.py       such work in threads
        database.py         SQLite or PostgreSQL
        tables.py           its tables

    pipeline/control/routes/  the routes, and how requests and answers are formed
        documents.py   routes of policies, scenarios, channels and the rest
        alerts.py      routes of alerts
        actions.py     routes of actions and approvals
        backtest.py    the route of backtests
        health.py      alive, ready, metrics
        answers.py     entity tags, and which problems may come
        problems.py    what is said when something is wrong
        paging.py      lists in pages
        body_limit.py  bodies that are too large

    pipeline/control/auth/  who asks, what they may, whose a document is
        access.py     who asks, and whether they may
        principal.py  roles and tenants
        api_keys.py   API keys
        oidc.py       bearer tokens of an issuer
        jwks.py       its public keys
        tenancy.py    whose a document is, and what it may reach

    pipeline/control/migrations/  how the tables came to be
        env.py  what Alembic runs

    pipeline/control/migrations/versions/  one file a step
        v0001_first_tables.py  all of the first version

    pipeline/stages/  move: decode, one core call, send; a folder a stage, in the order of the data
        registry.py          the stages that there are, plug-ins among them
        spec.py              what is known of a stage before it runs
        parsing_settings.py  how raw records are read
        raw_input.py         what is taken of metrics.raw by every stage that reads it
        partitioned.py       what stages have in common whose state is one snapshot a partition
        saved_partitions.py  partitions whose state is in snapshots: restored, saved, released
        dead_letters.py      what every stage does with bytes it cannot use

    pipeline/stages/aggregate/  metrics.raw to windows on metrics.agg
        spec.py      what is known of it
        settings.py  size and closing of windows
        stage.py     metrics.raw to windows on metrics.agg, with its checkpoints
        metrics.py   the sample balance of it

    pipeline/stages/downsample/  metrics.raw to chunks of kept points on metrics.downsampled
        spec.py      what is known of it
        settings.py  how much is kept, and how chunks are cut
        metrics.py   what it counts
        stage.py     metrics.raw to chunks of kept points, with its snapshots

    pipeline/stages/detect/  metrics.agg to anomalies
        spec.py      what is known of it
        settings.py  how windows are scored
        stage.py     metrics.agg to scores on anomalies, with its snapshots
        metrics.py   what it counts

    pipeline/stages/trigger/  metrics.raw, metrics.agg and anomalies to alerts
        spec.py      what is known of it
        settings.py  when a silent series is forgotten
        stage.py     metrics.raw, metrics.agg, anomalies to alerts, with snapshots
        feeds.py     how each of the three is read
        metrics.py   what it counts

    pipeline/stages/sink/  a topic to a store, with patience while it is down
        spec.py          what is known of it: which topics go to which stores
        stage.py         a topic to a store, with patience while it is down
        metrics.py       what it counts
        region_route.py  which store a window goes to

    pipeline/stages/act/  alerts to channels and scripts, and what came of it to actions
        spec.py           what is known of it
        metrics.py        what it counts
        settings.py       where secrets and scripts are, and how long it is patient
        stage.py          alerts and policies to channels, scripts and actions
        notifications.py  notifications: each channel on its own, with attempts
        scripts.py        runs of scripts: guards, approvals
        work_queue.py     one after the other, in threads that hold up nobody
        records.py        its records

    pipeline/sources/  make metrics as Telegraf would send them
        base.py          what every source makes and says of itself
        factory.py       the sources there are
        host.py          this machine's own
        kafka_output.py  from a source to Kafka, at a pace

    pipeline/sources/fleet/  a simulated fleet of many machines
        fleet.py      those of a simulated fleet
        hosts.py      its machines: who and where
        load.py       how busy they are
        state.py      the values, tick after tick
        incidents.py  what goes wrong, and when: the ground truth
        format.py     the bytes of a message

    pipeline/channels/  notify: one message or one run of a script at a time
        base.py             what every channel can do
        factory.py          the kinds there are, and one channel from its document
        smtp.py             e-mail
        apprise_channel.py  chat, SMS, push through apprise
        webhook.py          a JSON document with POST
        http_status.py      what an HTTP status means for a message
        compose.py          alerts as a message
        templates.py        templates filled, within bounds
        template_work.py    their operations, each charged before it is carried out
        scripts.py          a script run, within bounds
        script_jobs.py      or as a Job of Kubernetes

    pipeline/stores/  keep windows, history and events, and give them back
        base.py      what every store can do
        kind.py      what is known of a kind of store
        settings.py  the databases that are written to
        factory.py   the kinds there are, and one store from its settings
        reading.py   a series over a range: recent windows, history before them
        thinning.py  a curve of as many points as a chart has pixels

    pipeline/stores/influxdb/  InfluxDB 2
        kind.py             what is known of it: options, opened, checked, made
        windows.py          windows in InfluxDB 2
        history.py          chunks in it: a newer revision replaces all points
        history_reading.py  chunks back from it
        lines.py            records as lines, in requests of many
        newest.py           what a bucket was last given
        connection.py       requests to one bucket
        bucket.py           the bucket itself
        flux.py             its queries

    pipeline/stores/embedded/  a SQLite file
        kind.py             what is known of it: options, opened, checked, made
        windows.py          windows in a SQLite file
        windows_schema.py   its tables and statements
        history.py          chunks and events in a SQLite file
        history_schema.py   its tables and statements
        history_reading.py  chunks back from it
        file.py             a file that one process writes and others read

    pipeline/runtime/  carries
        settings.py  how a worker reports and saves

    pipeline/runtime/engine/  the Faust engine: a fetch's records to a stage, one call at a time
        worker.py          a worker process from start to a clean end
        app.py             one Faust app for one stage
        stage.py           what a stage and the runtime are to each other
        runner.py          calls a stage: one call at a time, in order
        health.py          alive and ready, from each partition's progress
        web.py             /metrics, /healthz, /readyz
        transport.py       the Faust transport: one event a partition and fetch
        column_fetches.py  its fetch responses as columns
        record_fetch.py    a fetch's bytes: cut apart, checked, decompressed
        decompression.py   Kafka's four compressions, bounded
        buffer_pool.py     large buffers used again

    pipeline/runtime/kafka/  Kafka clients: produce, read, follow a topic as a table
        settings.py            how Kafka is reached
        clients.py             consumers, producers and admins, each made here
        tailer.py              topics followed by a thread
        producer.py            the way out, through librdkafka
        topic_reader.py        a topic read to its end, for commands
        topic_identity.py      which log its offsets are of
        alert_table.py         the alerts of all partitions, followed by a thread
        finished_actions.py    which actions are finished by what stands on actions
        policy_table.py        the policies in force, followed by a thread
        dead_letter_log.py     dead letters read, and the marks of replays
        dead_letter_replay.py  them produced again, each once

    pipeline/runtime/state/  checkpoints and snapshots: what a restart needs, kept in Kafka
        checkpoints.py      the compacted topic of checkpoints
        snapshots.py        a stage's state, saved while it goes on
        snapshot_writer.py  note, blocks, manifest: one after the other
        snapshot_reader.py  the newest that is whole
        snapshot_log.py     their way to Kafka, a producer of their own
        snapshot_cache.py   beside Kafka, on the local disk
        shadow_buffer.py    where the state is copied to at once

    pipeline/runtime/observability/  metrics, health, logs
        metrics.py        the metrics that every stage has, and what makes more
        logs.py           log lines: text or JSON

    pipeline/runtime/secrets/  secrets from files, or encrypted at rest
        channel_secrets.py  channels' secrets from files, or opened
        sealing.py          secrets encrypted at rest

    pipeline/runtime/local/  processes on this machine: broker and worker as children
        embedded_broker.py  the broker in memory
        child_process.py    children that end with this process
        tied_exec.py        what ties them to it, on Linux

    pipeline/settings/  how settings are read; the sections stand beside what they set
        loading.py      file and environment, or every mistake in them
        model.py        all of them as one frozen model, composed of sections
        files.py        what a path must lead to, and whether it does
        base.py         what a section is, and what it is made of
        strict_yaml.py  YAML with no key twice

    pipeline/core/  decides: values and now_ms in, values out
        rendezvous.py    which of several databases has a series
        globs.py         names and tags against globs
        policies.py      the kinds of policies there are
        decimals.py      decimal text to doubles and back, exactly
        words.py         bytes eight at a time
        instructions.py  machine instructions that Python has no word for
        compiled.py      how the kernels are compiled, and their types
        warm.py          compiles them all, once
        kernel_stamp.py  the file that says that they are compiled

    pipeline/core/records/  reads: records in, samples and series out
        dead_letter_replay.py  what a dead letter becomes when it is replayed
        typed_records.py       a record as its model, or why it is none

    pipeline/core/records/kafka/  Kafka's record batches to columns
        batch_header.py    what a batch of Kafka's says of itself
        varint.py          its integers
        section_faults.py  what can be wrong with its records
        columns.py         a fetch's records as columns
        batch.py           Kafka's record batches to columns

    pipeline/core/records/telegraf/  Telegraf's formats to samples: compiled, and plain for what that refuses
        parser.py         records to columns of samples, fast or plain
        fast_parse.py     the compiled parser of what agents really send
        fast_influx.py    a line of line protocol
        fast_json.py      a metric of Telegraf's JSON
        fast_values.py    numbers, strings, timestamps
        record.py         the plain parsers' way in: format, limits
        line_protocol.py  line protocol in Telegraf's dialect
        line_values.py    its values and timestamps
        line_scan.py      where it stops, and what stands there
        telegraf_json.py  Telegraf's JSON
        json_spans.py     where JSON values begin and end
        timestamps.py     timestamps of any unit to nanoseconds
        parsed.py         a metric, or a refusal
        text_records.py   a file's lines as records

    pipeline/core/records/identity/  which resource and series a sample is of
        resource.py     identity tags of three generations, the resource
        raw_samples.py  samples with the numbers of their series, without windows
        rekeying.py     records without a key, folded once
        interning.py    series and fields interned to integers

    pipeline/core/windows/  folds samples into windows
        rules.py       which cycle a series has
        aggregator.py  one partition: records in, windows out
        output.py      what it gives out, and where its samples went
        fold.py        records folded into windows, in order
        samples.py     samples put into cells
        closing.py     what decides when a window is over
        replay.py      a restart, and what the next one needs
        state.py       the windows in columns
        store.py       room for them
        compaction.py  what no window needs is left behind
        text.py        a window's record as JSON
        checkpoint.py  what a restart needs, as one record

    pipeline/core/anomalies/  anomaly scores: how unusual a value is for its own series
        scorer.py     the anomaly scores of many series, a batch at a time
        step.py       their step: a sample in, its score and level out
        state.py      what they know, in columns
        calendar.py   hours and free days by a place's clock
        level.py      what a value is usually, and a forecast
        surprise.py   how surprising a deviation is
        novelty.py    whether a pattern was ever seen
        reporting.py  when a score is reported: recurrence, flat lines, budget, hysteresis
        scorecard.py  alerts a day, and what was found and how late
        detectors.py  detectors by name, with river's interface

    pipeline/core/detection/  which series are scored, and what is reported of them
        detector.py        one partition: windows in, records of anomalies out
        batch.py           values of many series scored at once
        series.py          its series, and their rows in the scorer
        records.py         scores and incidents as JSON
        state.py           a restart of it
        rules.py           which series are scored, and how
        host.py            many anomalous series of a resource: one incident
        named_detector.py  a detector of river's that a restart can replay

    pipeline/core/triggers/  when an alert fires: the alerts of many series
        evaluator.py  alerts of many series: samples in, events out
        step.py       their step: a sample in, what it changes out
        level.py      which level a value is of, which fires, what flaps
        state.py      rules, alerts and events in columns
        matching.py   which policies match which series
        rules.py      the policies in force, as rows of rules
        series.py     the series that are known, by number
        alerts.py     the alerts there are, those of a series in a row
        inputs.py     samples and windows by the triggers' series
        snapshot.py   all of it for a restart
        records.py    events as records, with ids and a text

    pipeline/core/actions/  what is done about an alert
        open_alerts.py    the alerts that are open, from their events
        suppression.py    which of them are silenced, in maintenance, inhibited
        decisions.py      what is done about them, step by step
        pending.py        what of it is not finished, and all else a restart needs
        attempts.py       whether it is begun, what came of it, how long to wait
        script_guards.py  how often a script may be run, and for how many

    pipeline/core/downsampling/  a series as few points
        curve.py               chunks back to curves, and what samples came to
        downsampler.py         one partition: records in, records of chunks out
        series_downsampler.py  series in, chunks of kept points out
        chunk.py               a chunk as a value
        quality.py             how near decoded values are
        whole_series.py        a series that is all there, as from a file
        state.py               what it knows of them, in columns
        step.py                its step: a sample in, chunks cut, late ones revised
        encode.py              one chunk encoded
        profile.py             what a series is like
        signal.py              its usual deviation and its rare values
        budget.py              how many points a chunk may keep
        pins.py                samples that stay at any cost
        merge.py               points taken away, the cheapest first
        levels.py              encoders whose points are held
        lines.py               encoders whose points are joined
        points.py              kept points, and how far off they are
        decode.py              kept points back to values

    pipeline/core/snapshots/  a stage's state, and the pieces it is of
        snapshot.py  a stage's state, and the pieces it is of
        codec.py     its blocks and manifest as bytes
        chain.py     one after the other: what is written, what deleted

    pipeline/core/influx/  records as lines of InfluxDB
        windows.py   a window as a line for InfluxDB
        history.py   a chunk of history as lines
        events.py    an anomaly or alert as a line
        values.py    values in them, tags beside ours
        escaping.py  the names in them

    pipeline/core/audit/  counts anew, beside the fold
        hashes.py   windows and fields as numbers
        samples.py  what windows should count, without the fold
        checks.py   what they do count, beside it
        values.py   values as hashes that add up

    schemas/  the contracts: what is written to Kafka
        records.py         the records, as models
        anomaly.py         what detection writes, as a model
        detection_rule.py  what detection is told to do
        trigger_policy.py  when alerts fire and end
        severity.py        how serious: names, codes, order
        selection.py       which series a policy is about
        alert.py           what triggers write, as a model
        durations.py       how durations are written
        scenario.py        what is done about an alert, step by step
        channel.py         where somebody is notified
        script.py          what may be run, and its guards
        silence.py         when nobody is notified
        action.py          what the stage act writes, as a model
        mistakes.py        what is wrong with such a document
        downsampled.py     a chunk of down-sampled history
        reasons.py         why something was not used: closed sets
        catalogue.py       the metric catalogue
        export.py          their JSON Schema

    topics/  the contracts: where it is written
        catalogue.py  every topic's key, value, partitions, retention
        plan.py       what a broker lacks against it
        admin.py      reads and makes topics, deletes nothing
        strimzi.py    the catalogue as KafkaTopic resources
"""

__version__ = "0.1.0.dev0"
