"""Grafana dashboards and alert rules as code, and the JSON and YAML that they make (json/, provisioning/)."""
