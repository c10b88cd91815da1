#!/usr/bin/env bash
# Prepares a cluster as a member and prints the kubeconfig that the hub needs for it.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: hack/member-kubeconfig.sh --kubeconfig ADMIN [--context NAME] [--server URL] [--duration 8760h]

Applies config/member-rbac to the cluster of the kubeconfig ADMIN and prints a kubeconfig with a token of the
ServiceAccount meshfleet-member. Put what it prints into a Secret on the hub, under the key `value`:

  hack/member-kubeconfig.sh --kubeconfig east-admin.yaml > east.yaml
  kubectl -n meshfleet-system create secret generic east-kubeconfig --from-file=value=east.yaml

  --kubeconfig ADMIN   a kubeconfig that may create ClusterRoles in the member
  --context NAME       a context of it; default: its current context
  --server URL         the API server's address as the hub reaches it; default: the one in ADMIN
  --duration TIME      the token's life; default: 8760h. The API server may shorten it.

The environment variable KUBECTL names the kubectl binary.
TEXT
}

die() {
  echo "member-kubeconfig: $*" >&2
  exit 1
}

admin='' context='' server='' duration=8760h
while (($# > 0)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --kubeconfig | --context | --server | --duration)
      (($# > 1)) || die "$1 needs a value"
      case $1 in
        --kubeconfig) admin=$2 ;;
        --context) context=$2 ;;
        --server) server=$2 ;;
        --duration) duration=$2 ;;
      esac
      shift 2
      ;;
    *)
      usage >&2
      die "unknown argument $1"
      ;;
  esac
done
[[ -n $admin ]] || {
  usage >&2
  die "--kubeconfig is missing"
}
[[ -r $admin ]] || die "cannot read $admin"

kubectl=(${KUBECTL:-kubectl} --kubeconfig "$admin")
if [[ -n $context ]]; then
  kubectl+=(--context "$context")
fi

cluster() {
  "${kubectl[@]}" config view --raw --minify --flatten -o "jsonpath={.clusters[0].cluster.$1}"
}

if [[ -z $server ]]; then
  server=$(cluster server)
fi
[[ -n $server ]] || die "the kubeconfig names no server for this context"
[[ $(cluster insecure-skip-tls-verify) != true ]] ||
  die "the kubeconfig skips verification of the server's certificate; a member needs certificate-authority-data"
ca=$(cluster certificate-authority-data)
tls_server_name=$(cluster tls-server-name)

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"${kubectl[@]}" apply --server-side --field-manager=meshfleet-member-rbac -k "$repository/config/member-rbac" >&2
token=$("${kubectl[@]}" --namespace meshfleet-member create token meshfleet-member --duration "$duration")

cat <<YAML
apiVersion: v1
kind: Config
clusters:
- name: member
  cluster:
    server: "$server"
YAML
if [[ -n $ca ]]; then
  echo "    certificate-authority-data: $ca"
fi
if [[ -n $tls_server_name ]]; then
  echo "    tls-server-name: \"$tls_server_name\""
fi
cat <<YAML
users:
- name: meshfleet-member
  user:
    token: $token
contexts:
- name: member
  context:
    cluster: member
    user: meshfleet-member
current-context: member
YAML
