//go:build linux

package nodeconfig

import (
	"path/filepath"
	"strconv"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/pki"
)

// Names of the components, as users give them to the command line.
const (
	Etcd              = "etcd"
	Containerd        = "containerd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"

	etcdClients = "http://127.0.0.1:2379"
	etcdPeers   = "http://127.0.0.1:2380"
)

// components lists the processes in the order of their start.
func (s Spec) components() []Component {
	kubernetes := func(name string, args ...string) Component {
		return Component{Name: name, Args: append([]string{filepath.Join(s.Binaries.Kubernetes, name)}, args...)}
	}
	components := []Component{
		{Name: Etcd, Args: append([]string{filepath.Join(s.Binaries.Etcd, Etcd)}, s.etcdArgs()...)},
		{Name: Containerd, Args: []string{
			filepath.Join(s.Binaries.Containerd, Containerd), "--config", s.containerdConfigFile(),
		}},
		kubernetes(APIServer, s.apiServerArgs()...),
	}
	for _, component := range []Component{
		kubernetes(ControllerManager, s.controllerManagerArgs()...),
		kubernetes(Scheduler, s.schedulerArgs()...),
		kubernetes(Kubelet, s.kubeletArgs()...),
		kubernetes(Proxy, s.proxyArgs()...),
	} {
		component.AfterAPI = true
		component.RestartAfterOutage = component.Name != Proxy
		components = append(components, component)
	}
	return components
}

// etcdArgs listen on loopback only, which is private to the node, and trade durability for speed: a cluster does not
// survive its node anyway.
func (s Spec) etcdArgs() []string {
	return []string{
		"--data-dir=/var/lib/etcd",
		"--listen-client-urls=" + etcdClients,
		"--advertise-client-urls=" + etcdClients,
		"--listen-peer-urls=" + etcdPeers,
		"--initial-advertise-peer-urls=" + etcdPeers,
		"--initial-cluster=default=" + etcdPeers,
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (s Spec) apiServerArgs() []string {
	cert, key := s.pair(pki.APIServer)
	kubeletCert, kubeletKey := s.pair(pki.APIServerToKubelet)
	authority := pki.CertFile(s.Dir.PKI(), pki.CA)
	accounts := pki.KeyFile(s.Dir.PKI(), pki.ServiceAccount)
	return []string{
		"--etcd-servers=" + etcdClients,
		"--bind-address=0.0.0.0",
		"--advertise-address=" + s.Plan.Node.String(),
		"--secure-port=" + strconv.Itoa(APIPort),
		"--service-cluster-ip-range=" + s.Plan.Services.String(),
		"--tls-cert-file=" + cert,
		"--tls-private-key-file=" + key,
		"--client-ca-file=" + authority,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + accounts,
		"--service-account-signing-key-file=" + accounts,
		"--kubelet-client-certificate=" + kubeletCert,
		"--kubelet-client-key=" + kubeletKey,
		"--kubelet-certificate-authority=" + authority,
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + s.auditPolicyFile(),
		"--audit-log-path=" + s.Dir.AuditLog(),
	}
}

// controllerManagerArgs include the root for service accounts: without it no pod could verify the API server. The request
// rate is raised because the default delays the first Deployment of a new cluster by five seconds.
func (s Spec) controllerManagerArgs() []string {
	caCert, caKey := s.pair(pki.CA)
	return append(s.clientArgs(pki.ControllerManager),
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--root-ca-file="+caCert,
		"--service-account-private-key-file="+pki.KeyFile(s.Dir.PKI(), pki.ServiceAccount),
		"--use-service-account-credentials=true",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--cluster-signing-cert-file="+caCert,
		"--cluster-signing-key-file="+caKey,
	)
}

func (s Spec) schedulerArgs() []string {
	return append(s.clientArgs(pki.Scheduler), "--leader-elect=false", "--bind-address=127.0.0.1")
}

func (s Spec) kubeletArgs() []string {
	return []string{
		"--kubeconfig=" + KubeconfigFile(s.Dir, pki.KubeletClient),
		"--config=" + s.kubeletConfigFile(),
		"--node-ip=" + s.Plan.Node.String(),
		"--hostname-override=" + s.Cluster,
		"--root-dir=/var/lib/kubelet",
	}
}

// proxyArgs leave connection tracking alone: its limits can only be set in the host's own network namespace.
func (s Spec) proxyArgs() []string {
	return []string{
		"--kubeconfig=" + KubeconfigFile(s.Dir, pki.Proxy),
		"--proxy-mode=iptables",
		"--cluster-cidr=" + s.Plan.Pods.String(),
		"--hostname-override=" + s.Cluster,
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	}
}

func (s Spec) clientArgs(user string) []string {
	kubeconfig := KubeconfigFile(s.Dir, user)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
	}
}

func (s Spec) pair(name string) (cert, key string) {
	return pki.CertFile(s.Dir.PKI(), name), pki.KeyFile(s.Dir.PKI(), name)
}
