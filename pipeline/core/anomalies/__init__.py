"""How strange a value is, for the series it is of."""
