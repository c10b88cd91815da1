//go:build linux

package nodeconfig

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/cgroup"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/pki"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

const (
	// ContainerdSocket is a path inside the node.
	ContainerdSocket = "/run/containerd/containerd.sock"
	// CNIBinaries is where the Debian package puts the network plugins.
	CNIBinaries = "/usr/lib/cni"
	// APIPort is where the API server listens, on all addresses of the node.
	APIPort = 6443
)

// auditPolicy records every write with its author and without its content.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// ResolvConf is the file that takes the place of /etc/resolv.conf inside the node. It names a server that refuses at
// once: with the host's servers, which a node cannot reach, each attempt to pull an image would hang for a minute.
func ResolvConf(dir state.Dir) string { return filepath.Join(dir.Config(), "resolv.conf") }

// KubeconfigFile is the path of a component's kubeconfig.
func KubeconfigFile(dir state.Dir, user string) string {
	return filepath.Join(dir.Config(), user+".kubeconfig")
}

func (s Spec) kubeletConfigFile() string    { return filepath.Join(s.Dir.Config(), "kubelet.yaml") }
func (s Spec) containerdConfigFile() string { return filepath.Join(s.Dir.Config(), "containerd.toml") }
func (s Spec) auditPolicyFile() string      { return filepath.Join(s.Dir.Config(), "audit-policy.yaml") }
func (s Spec) networkConfigDir() string     { return filepath.Join(s.Dir.Config(), "cni") }
func (s Spec) networkConfigFile() string {
	return filepath.Join(s.networkConfigDir(), "10-lab.conflist")
}

// writeKubeconfig names the node's address, not localhost: the same file then works on the host and in the node.
func (s Spec) writeKubeconfig(user string) error {
	config := clientcmdapi.NewConfig()
	authority, err := os.ReadFile(pki.CertFile(s.Dir.PKI(), pki.CA))
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	certificate, err := os.ReadFile(pki.CertFile(s.Dir.PKI(), user))
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	key, err := os.ReadFile(pki.KeyFile(s.Dir.PKI(), user))
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	config.Clusters[s.Cluster] = &clientcmdapi.Cluster{
		Server:                   "https://" + netip.AddrPortFrom(s.Plan.Node, APIPort).String(),
		CertificateAuthorityData: authority,
	}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[s.Cluster] = &clientcmdapi.Context{Cluster: s.Cluster, AuthInfo: user}
	config.CurrentContext = s.Cluster
	if err := clientcmd.WriteToFile(*config, KubeconfigFile(s.Dir, user)); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

func (s Spec) kubeletConfig() ([]byte, error) {
	config := map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + ContainerdSocket,
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + cgroup.Name(s.Cluster),
		"cgroupsPerQOS":            true,
		"enforceNodeAllocatable":   []string{},
		"failCgroupV1":             false,
		"failSwapOn":               false,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": pki.CertFile(s.Dir.PKI(), pki.CA)},
		},
		"authorization":     map[string]any{"mode": "Webhook"},
		"tlsCertFile":       pki.CertFile(s.Dir.PKI(), pki.Kubelet),
		"tlsPrivateKeyFile": pki.KeyFile(s.Dir.PKI(), pki.Kubelet),
		"clusterDomain":     "cluster.local",
		"clusterDNS":        []string{s.Plan.DNS.String()},
		"resolvConf":        ResolvConf(s.Dir),
		"volumePluginDir":   "/var/lib/kubelet/volume-plugins",
		// Images are loaded, never pulled: one that was collected would not come back.
		"imageGCHighThresholdPercent": 100,
		// Without this an image whose pull was once tried is not trusted when it has been loaded afterwards.
		"imagePullCredentialsVerificationPolicy": "NeverVerify",
		"serializeImagePulls":                    false,
		"evictionHard": map[string]string{
			"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%",
		},
	}
	raw, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode kubelet configuration: %w", err)
	}
	return raw, nil
}

// containerdConfig turns off what needs rights or kernel features that a virtual machine may lack.
func (s Spec) containerdConfig() []byte {
	return fmt.Appendf(nil, `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = %q

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q

[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.nri.v1.nri"]
disable = true
`, ContainerdSocket, s.PauseImage, CNIBinaries, s.networkConfigDir())
}

// networkConfig uses the ptp plugin: it routes, so that a pod reaches a Service that leads to a pod of the same node
// without the br_netfilter module, which many hosts lack.
func (s Spec) networkConfig() ([]byte, error) {
	config := map[string]any{
		"cniVersion": "1.0.0",
		"name":       "lab",
		"plugins": []map[string]any{
			{
				"type": "ptp", "ipMasq": true,
				"ipam": map[string]any{
					"type":   "host-local",
					"ranges": [][]map[string]any{{{"subnet": s.Plan.Pods.String()}}},
					"routes": []map[string]any{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
	raw, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode network configuration: %w", err)
	}
	return raw, nil
}
