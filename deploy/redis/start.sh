#!/bin/sh
# The desk's Redis: one user with a password, which may not read the server's files, change its settings, stop it
# or empty it. The password comes in REDIS_PASSWORD; arguments are redis-server's own.
set -eu
: "${REDIS_PASSWORD:?REDIS_PASSWORD is not set}"
digest=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d " " -f 1)
unset REDIS_PASSWORD REDISCLI_AUTH
exec redis-server - "$@" <<CONFIGURATION
user default off
user desk on #$digest ~* &* +@all -@admin -@dangerous +info +client|setinfo +client|setname
CONFIGURATION
