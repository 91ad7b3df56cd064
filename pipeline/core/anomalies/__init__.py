"""Anomaly scores: how unusual a value is for its own series.

Beside each constant stands where it is from, or what it was chosen on: what half of it, and the double, gives. The
three figures are the benchmark's standard score (``bench.nab``) and the share of faults found in real and in made
series (``bench.faults 0``); as it is they are 76.3, .57 and .65. Three points of the first and .05 of the others are
noise. What was tried beyond half and double: docs/explanation/anomalies.md. Of a decay, half and double mean as
slow and as fast again.
"""
