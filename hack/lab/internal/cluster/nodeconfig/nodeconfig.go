//go:build linux

// Package nodeconfig writes everything that the components of one node read at their start, and decides how they are
// started. Inside the node all of them use their default paths below /run, /var/lib and /var/log, so the texts of two
// clusters differ only in names and addresses.
package nodeconfig

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/pki"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// Binaries are the directories with the programs of a node.
type Binaries struct {
	Kubernetes, Etcd, Containerd string
}

// Spec is what a node is made from.
type Spec struct {
	Cluster    string
	Plan       addr.Plan
	Dir        state.Dir
	Binaries   Binaries
	PauseImage string
}

// Node is the plan that the supervisor carries out.
type Node struct {
	Name       string       `json:"name"`
	Pool       []netip.Addr `json:"pool"`
	Components []Component  `json:"components"`
	// ImageImport is the command that reads an image archive from its standard input.
	ImageImport []string `json:"imageImport"`
	// Environment is that of every component.
	Environment []string `json:"environment"`
}

// Component is one supervised process.
type Component struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
	// AfterAPI components start when the API server is ready: earlier, the controller manager would find its RBAC rules
	// missing and exit.
	AfterAPI bool `json:"afterAPI,omitempty"`
	// RestartAfterOutage marks those whose watches back off so far during an outage of the API server that they would do
	// nothing for a minute or more after it.
	RestartAfterOutage bool `json:"restartAfterOutage,omitempty"`
}

// Write creates keys, configuration files and the supervisor's plan.
func Write(spec Spec) error {
	subject := pki.Subject{
		Cluster: spec.Cluster, NodeName: spec.Cluster, Node: spec.Plan.Node, FirstService: spec.Plan.FirstService,
	}
	if err := pki.Create(spec.Dir.PKI(), subject); err != nil {
		return err
	}
	for _, user := range []string{pki.Admin, pki.ControllerManager, pki.Scheduler, pki.Proxy, pki.KubeletClient} {
		if err := spec.writeKubeconfig(user); err != nil {
			return err
		}
	}
	files, err := spec.files()
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write node configuration: %w", err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write node configuration: %w", err)
		}
	}
	return nil
}

// Read returns the supervisor's plan.
func Read(dir state.Dir) (Node, error) {
	var node Node
	raw, err := os.ReadFile(dir.NodeFile())
	if err != nil {
		return node, fmt.Errorf("read node plan: %w", err)
	}
	if err := json.Unmarshal(raw, &node); err != nil {
		return node, fmt.Errorf("read node plan: %w", err)
	}
	return node, nil
}

func (s Spec) files() (map[string][]byte, error) {
	kubelet, err := s.kubeletConfig()
	if err != nil {
		return nil, err
	}
	network, err := s.networkConfig()
	if err != nil {
		return nil, err
	}
	node, err := json.MarshalIndent(s.node(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode node plan: %w", err)
	}
	return map[string][]byte{
		s.Dir.NodeFile():         node,
		s.kubeletConfigFile():    kubelet,
		s.containerdConfigFile(): s.containerdConfig(),
		s.auditPolicyFile():      []byte(auditPolicy),
		ResolvConf(s.Dir):        []byte("nameserver 127.0.0.1\n"),
		s.networkConfigFile():    network,
	}, nil
}

func (s Spec) node() Node {
	return Node{
		Name:       s.Cluster,
		Pool:       s.Plan.Pool,
		Components: s.components(),
		ImageImport: []string{
			filepath.Join(s.Binaries.Containerd, "ctr"), "--address", ContainerdSocket, "--namespace", "k8s.io",
			"images", "import", "-",
		},
		Environment: []string{
			// containerd looks for its shim here, the shim for runc, and kube-proxy for iptables.
			"PATH=" + s.Binaries.Containerd + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root",
		},
	}
}
