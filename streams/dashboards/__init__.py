"""The desk in Grafana as code: boards, alert rules and provisioning files are data here; what they become is bytes, and the same bytes every time."""
