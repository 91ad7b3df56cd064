"""Commands over files: detect, scorecard, downsample, backtest."""
