#!/usr/bin/env bash
# Removes what install.sh has installed in a cluster: uninstall.sh CLUSTER
set -euo pipefail

h() { "$HELM" --kubeconfig "$KUBECONFIGS/$1.kubeconfig" --namespace istio-system "${@:2}" >/dev/null; }

for release in istio-eastwestgateway istiod istio-base; do
  h "$1" uninstall "$release" --ignore-not-found --wait
done
