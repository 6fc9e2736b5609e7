"""What operators see: metrics and logs. Never what machines decide by."""
