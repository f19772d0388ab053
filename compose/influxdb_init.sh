#!/bin/bash
# Run once by the image influxdb:2.7, when it has made user, org and bucket (DOCKER_INFLUXDB_INIT_...): InfluxQL's name for the
# bucket, and a token each for the coordinator (writes) and for Grafana (reads), so that neither holds the administrator's.
set -euo pipefail

influx v1 dbrp create --db tegu --rp autogen --default --bucket-id "$DOCKER_INFLUXDB_INIT_BUCKET_ID"

# token RIGHT DESCRIPTION FILE
token() {
    local made
    made="$(influx auth create --org "$DOCKER_INFLUXDB_INIT_ORG" --user "$DOCKER_INFLUXDB_INIT_USERNAME" \
        "--$1-bucket" "$DOCKER_INFLUXDB_INIT_BUCKET_ID" --description "$2" --json |
        sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')"
    test -n "$made"
    printf '%s\n' "$made" >"$3"
    chmod 444 "$3" # each of these volumes is mounted where its reader is, and here
}

token write coordinator /run/tokens/coordinator/write
token read Grafana /run/tokens/grafana/read
