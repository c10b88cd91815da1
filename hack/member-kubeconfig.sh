#!/usr/bin/env bash
# Prepares a cluster as a member and prints the kubeconfig that the hub needs for it.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: hack/member-kubeconfig.sh --kubeconfig ADMIN [--context NAME] [--server URL] [--duration 8760h] [--accept-shorter]
                                [--namespace istio-system] [--secret NAME [--secret-namespace NAMESPACE]]

Creates the control plane's namespace if it does not exist, applies config/member-rbac to the cluster of the kubeconfig
ADMIN (the files of a release: member-rbac.yaml beside this script), and prints a kubeconfig with a token of the
ServiceAccount meshfleet-member. Put what it prints into a Secret on the hub, under the key `value`:

  hack/member-kubeconfig.sh --kubeconfig east-admin.yaml > east.yaml
  kubectl -n meshfleet-system create secret generic east-kubeconfig --from-file=value=east.yaml

With --secret it prints that Secret, annotated so that the operator renews the token before it expires:

  hack/member-kubeconfig.sh --kubeconfig east-admin.yaml --secret east-kubeconfig | kubectl create -f -

  --kubeconfig ADMIN   a kubeconfig that may create ClusterRoles in the member
  --context NAME       a context of it; default: its current context
  --server URL         the API server's address as the hub reaches it; default: the one in ADMIN
  --duration TIME      the lifetime of the token in hours, minutes and seconds; default: 8760h
  --namespace NAME     spec.controlPlaneNamespace of the MeshInstallation; default: istio-system
  --accept-shorter     print the kubeconfig also if the API server grants less than half of that lifetime
  --secret NAME        print a Secret of that name, whose token the operator renews, however short its lifetime is
  --secret-namespace NAME  the namespace of the Secret; default: meshfleet-system

The environment variable KUBECTL names the kubectl binary.
TEXT
}

die() {
  echo "member-kubeconfig: $*" >&2
  exit 1
}

# seconds prints a duration such as 8760h or 1h30m in seconds.
seconds() {
  [[ -n $1 && $1 =~ ^(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$ ]] || return 1
  echo $((10#${BASH_REMATCH[2]:-0} * 3600 + 10#${BASH_REMATCH[4]:-0} * 60 + 10#${BASH_REMATCH[6]:-0}))
}

# claim prints a claim of a token that is a number: exp or iat.
claim() {
  local payload
  payload=$(cut -d. -f2 <<<"$2" | tr '_-' '/+')
  while ((${#payload} % 4 > 0)); do payload+='='; done
  base64 --decode <<<"$payload" | sed -n "s/.*\"$1\": *\([0-9][0-9]*\).*/\1/p"
}

admin='' context='' server='' duration=8760h accept_shorter='' namespace=istio-system secret='' secret_namespace=meshfleet-system
while (($# > 0)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --accept-shorter)
      accept_shorter=yes
      shift
      ;;
    --kubeconfig | --context | --server | --duration | --namespace | --secret | --secret-namespace)
      (($# > 1)) || die "$1 needs a value"
      case $1 in
        --kubeconfig) admin=$2 ;;
        --context) context=$2 ;;
        --server) server=$2 ;;
        --duration) duration=$2 ;;
        --secret) secret=$2 ;;
        --secret-namespace) secret_namespace=$2 ;;
        --namespace) namespace=$2 ;;
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
[[ $namespace =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || die "--namespace $namespace is not the name of a namespace"
asked=$(seconds "$duration") || die "--duration $duration: write hours, minutes and seconds, for example 8760h or 1h30m"

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

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A release has the permissions as a file beside this script.
permissions() {
  if [[ -e $here/member-rbac.yaml ]]; then
    cat "$here/member-rbac.yaml"
  else
    "${kubectl[@]}" kustomize "$here/../config/member-rbac"
  fi
}
# Permissions in the control plane's namespace need the namespace. The operator adopts it as it is.
"${kubectl[@]}" get namespace "$namespace" >/dev/null 2>&1 || "${kubectl[@]}" create namespace "$namespace" >&2
permissions | sed "s/^  namespace: istio-system\$/  namespace: $namespace/" |
  "${kubectl[@]}" apply --server-side --field-manager=meshfleet-member-rbac -f - >&2
token=$("${kubectl[@]}" --namespace meshfleet-member create token meshfleet-member --duration "$duration")
issued=$(claim iat "$token") expires=$(claim exp "$token")
[[ -n $issued && -n $expires ]] || die "the API server has granted a token that does not contain its lifetime"
granted=$((expires - issued))
echo "member-kubeconfig: asked for a token of $((asked / 3600))h$((asked % 3600 / 60))m," \
  "the API server grants $((granted / 3600))h$((granted % 3600 / 60))m" >&2
if ((granted * 2 < asked)) && [[ -z $accept_shorter && -z $secret ]]; then
  die "the API server limits the lifetime of tokens (--service-account-max-token-expiration), and the hub loses the member" \
    "when the token expires: let the operator renew it (--secret), use a client certificate, or renew the Secret on the hub by other" \
    "means and pass --accept-shorter"
fi

kubeconfig() {
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
}

if [[ -z $secret ]]; then
  kubeconfig
  exit 0
fi
cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: "$secret"
  namespace: "$secret_namespace"
  annotations:
    mesh.meshfleet.io/renew: "true"
stringData:
  value: |
YAML
kubeconfig | sed 's/^/    /'
