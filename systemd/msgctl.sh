#!/bin/sh
# msgctl of the current release, with the configuration and the secrets of this machine where they may be read.
if [ -z "${CREDENTIALS_DIRECTORY:-}" ] && [ -r /etc/msgctl/credentials ]; then
    export CREDENTIALS_DIRECTORY=/etc/msgctl/credentials
fi
exec /opt/msgctl/current/bin/msgctl "$@"
