"""The sources produce: a simulated fleet and this host's own metrics, as Telegraf would send them."""
