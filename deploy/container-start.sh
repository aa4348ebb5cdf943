#!/bin/sh
# Starts the gateway in a container without the variables of the runtime inside it: with them,
# whatever sets the container's environment could run other code in the gateway's name
# (BUN_OPTIONS, BUN_BE_BUN), open a debugger or leave out checks. They must be gone before the
# program begins, so that this cannot be a part of it.
set -eu
for name in $(env | sed -n 's/^\(\(BUN\|NODE\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
  unset "$name"
done
exec /usr/local/bin/postern "$@"
