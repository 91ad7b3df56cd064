"""Series in, chunks of kept points out.

Beside each constant stands where it is from, or what it was chosen on: what half of it, and the double, gives on the
three groups of series of ``bench.downsample`` as stored points, error and extremes kept. As it is they are:
infrastructure 8.71 % .0329 .846, node 7.58 % .0273 .885, made 6.06 % .0270 .916; a group that is not named stays as it
is.
"""
