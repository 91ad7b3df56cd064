"""Series in, chunks of kept points out."""
