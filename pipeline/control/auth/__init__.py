"""Who asks, what they may, whose a document is."""
