"""Backstop: liquidation, insurance-fund and auto-deleveraging engine on Kafka. The way of one event is in README.md."""

__version__ = "0.1.0"
