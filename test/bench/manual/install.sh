#!/usr/bin/env bash
# Installs one Istio mesh over two clusters with helm and kubectl alone, the way the multi-primary, multi-network guide
# does it by hand. The benchmark measures it against the operator, so it does no step twice, waits for nothing longer
# than it must, and ends where the operator says Ready: both gateways serve and both istiods have synced their peer.
#
#   install.sh sequential|parallel CLUSTER CLUSTER
#
# Environment: HELM, KUBECTL (binaries), CHARTS (directory with base, istiod, gateway), KUBECONFIGS (directory with
# <cluster>.kubeconfig), WORK (directory for certificates), VERSION, ISTIOD_VALUES, GATEWAY_VALUES (files).
set -euo pipefail

variant=$1
shift
clusters=("$@")
revision=${VERSION//./-}
mesh=shop

k() { "$KUBECTL" --kubeconfig "$KUBECONFIGS/$1.kubeconfig" "${@:2}"; }
h() { "$HELM" --kubeconfig "$KUBECONFIGS/$1.kubeconfig" --namespace istio-system "${@:2}" >/dev/null; }

# poll COMMAND… runs a command until it succeeds.
poll() {
  local end=$((SECONDS + 120))
  until "$@"; do
    ((SECONDS < end)) || {
      echo "gave up on: $*" >&2
      return 1
    }
    sleep 0.2
  done
}

root() {
  openssl req -x509 -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 3650 -subj "/O=$mesh/CN=root" \
    -keyout "$WORK/root-key.pem" -out "$WORK/root-cert.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

intermediate() {
  local dir=$WORK/$1
  mkdir -p "$dir"
  openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/O=$mesh/CN=intermediate-$1" \
    -keyout "$dir/ca-key.pem" -out "$dir/ca.csr" 2>/dev/null
  openssl x509 -req -in "$dir/ca.csr" -CA "$WORK/root-cert.pem" -CAkey "$WORK/root-key.pem" -CAcreateserial -days 90 \
    -extfile <(printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n') \
    -out "$dir/ca-cert.pem" 2>/dev/null
  cat "$dir/ca-cert.pem" "$WORK/root-cert.pem" >"$dir/cert-chain.pem"
}

# cluster installs everything of one cluster that needs no peer.
cluster() {
  local c=$1 dir=$WORK/$1
  k "$c" create namespace istio-system >/dev/null
  k "$c" label namespace istio-system "topology.istio.io/network=$c" >/dev/null
  k "$c" --namespace istio-system create secret generic cacerts --from-file="$dir/ca-cert.pem" \
    --from-file="$dir/ca-key.pem" --from-file="$WORK/root-cert.pem" --from-file="$dir/cert-chain.pem" >/dev/null
  h "$c" install istio-base "$CHARTS/base" --set "defaultRevision=$revision"
  h "$c" install istiod "$CHARTS/istiod" --values "$ISTIOD_VALUES" --set "revision=$revision" \
    --set "revisionTags={default,prod}" --set "global.meshID=$mesh" --set "global.multiCluster.clusterName=$c" \
    --set "global.network=$c" --wait
  h "$c" install istio-eastwestgateway "$CHARTS/gateway" --values "$GATEWAY_VALUES" --set "revision=$revision" \
    --set name=istio-eastwestgateway --set "networkGateway=$c" --wait
  k "$c" apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: cross-network-gateway
  namespace: istio-system
spec:
  selector:
    istio: eastwestgateway
  servers:
  - port: {number: 15443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.local"]
YAML
}

# remote_secret lets the control plane of $2 read the endpoints of $1, as `istioctl create-remote-secret` does.
remote_secret() {
  local of=$1 to=$2 token server ca
  token=$(k "$of" --namespace istio-system create token istio-reader-service-account --duration 24h)
  server=$(k "$of" config view --raw --minify --flatten -o 'jsonpath={.clusters[0].cluster.server}')
  ca=$(k "$of" config view --raw --minify --flatten -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}')
  k "$to" apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: istio-remote-secret-$of
  namespace: istio-system
  labels: {istio/multiCluster: "true"}
  annotations: {networking.istio.io/cluster: $of}
stringData:
  $of: |
    apiVersion: v1
    kind: Config
    clusters:
    - name: $of
      cluster: {server: "$server", certificate-authority-data: $ca}
    users:
    - name: $of
      user: {token: $token}
    contexts:
    - name: $of
      context: {cluster: $of, user: $of}
    current-context: $of
YAML
}

is_synced() {
  k "$1" --namespace istio-system exec "deployment/istiod-$revision" -- \
    pilot-discovery request GET /debug/clusterz 2>/dev/null |
    tr -d ' \n' | grep -q "\"id\":\"$2\"[^}]*\"syncStatus\":\"synced\""
}

# each COMMAND runs a function for every cluster, in the way of the variant.
each() {
  local c pids=() failed=0
  if [[ $variant == sequential ]]; then
    for c in "${clusters[@]}"; do "$1" "$c"; done
    return
  fi
  for c in "${clusters[@]}"; do
    "$1" "$c" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

peers() {
  local c
  for c in "${clusters[@]}"; do
    if [[ $c != "$1" ]]; then remote_secret "$c" "$1"; fi
  done
}

synced() {
  local c
  for c in "${clusters[@]}"; do
    if [[ $c != "$1" ]]; then poll is_synced "$1" "$c"; fi
  done
}

rm -rf "$WORK" && mkdir -p "$WORK"
root
each intermediate
each cluster
each peers
each synced
