#!/usr/bin/env bash
# Runs bin/manager on this machine, against the hub of the running lab. Arguments are more flags for the operator.
#
# The pod of the operator continues to answer the admission webhooks: their Service leads to it, not to this machine. This
# process reconciles, because it holds the leader lease. To give it the lease, the pod is removed for a few seconds. The new
# pod waits for the lease, and reconciles again when this process ends.
set -euo pipefail

hub=bin/lab/hub.kubeconfig
own=bin/run.kubeconfig
namespace=meshfleet-system
name=meshfleet-controller-manager # of the Deployment and of the service account
lease=meshfleet.mesh.meshfleet.io

if [[ ! -e $hub ]]; then
  echo "run: $hub does not exist: start a lab that has the operator, for example with 'make demo'" >&2
  exit 1
fi
kubectl="$(bin/labctl env)/kubectl"
on_hub() { "$kubectl" --kubeconfig "$hub" "$@"; }
if ! on_hub -n "$namespace" get deployment "$name" >/dev/null; then
  echo "run: the hub has no Deployment $namespace/$name: install the operator with 'make deploy'" >&2
  exit 1
fi
scale() { on_hub -n "$namespace" scale deployment "$name" --replicas "$1"; }

for manifests in config/crd config/rbac; do
  on_hub apply --server-side --force-conflicts -k "$manifests" >/dev/null
done

# This process has the pod's permissions, so that a missing permission is found here too.
token=$(on_hub -n "$namespace" create token "$name" --duration 8h)
rm -f "$own"
install -m 600 "$hub" "$own"
"$kubectl" --kubeconfig "$own" config set-credentials operator --token "$token" >/dev/null
"$kubectl" --kubeconfig "$own" config set-context --current --user operator >/dev/null
unset token

scale 0
(
  # An interrupt ends this process. The pod must come back also then.
  trap '' INT TERM
  until [[ $(on_hub -n "$namespace" get lease "$lease" -o 'jsonpath={.spec.holderIdentity}' 2>/dev/null) == "$(uname -n)_"* ]] ||
    ! kill -0 $$ 2>/dev/null; do
    sleep 1
  done
  scale 1
) &

exec bin/manager --kubeconfig "$own" --namespace "$namespace" --charts-dir bin/charts --leader-elect --webhook-cert-path= \
  --zap-devel --metrics-bind-address 127.0.0.1:8443 --health-probe-bind-address 127.0.0.1:8081 "$@"
