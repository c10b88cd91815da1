//go:build linux

package nodeconfig

import (
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

func writeSpec(t *testing.T, cluster string, index int) Spec {
	t.Helper()
	plan, err := addr.For(index)
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{
		Cluster: cluster, Plan: plan, Dir: state.Dir(t.TempDir()), PauseImage: "lab.local/pause:1",
		Binaries: Binaries{Kubernetes: "/k", Etcd: "/e", Containerd: "/c"},
	}
	if err := spec.Dir.Create(); err != nil {
		t.Fatal(err)
	}
	if err := Write(spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestWrite(t *testing.T) {
	spec := writeSpec(t, "east", 1)
	node, err := Read(spec.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if node.Name != "east" || len(node.Pool) != addr.PoolSize {
		t.Errorf("node = %q with %d addresses, want east with %d", node.Name, len(node.Pool), addr.PoolSize)
	}

	client, err := clientcmd.BuildConfigFromFlags("", spec.Dir.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if client.Host != "https://172.30.0.11:6443" {
		t.Errorf("admin's server = %s, want the node's address", client.Host)
	}

	raw, err := os.ReadFile(spec.kubeletConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	var kubelet struct {
		CgroupRoot string   `json:"cgroupRoot"`
		ClusterDNS []string `json:"clusterDNS"`
	}
	if err := yaml.Unmarshal(raw, &kubelet); err != nil {
		t.Fatal(err)
	}
	if kubelet.CgroupRoot != "/lab-east" || !slices.Equal(kubelet.ClusterDNS, []string{"10.101.0.10"}) {
		t.Errorf("kubelet = %+v, want east's own control group and DNS", kubelet)
	}
}

// Nothing that needs RBAC may start before the API server has it, and nothing that the API server needs may wait for it.
func TestStartOrder(t *testing.T) {
	spec := writeSpec(t, "hub", 0)
	var before, after []string
	for _, component := range spec.components() {
		if component.AfterAPI {
			after = append(after, component.Name)
		} else {
			before = append(before, component.Name)
		}
	}
	if want := []string{Etcd, Containerd, APIServer}; !slices.Equal(before, want) {
		t.Errorf("started at once: %v, want %v", before, want)
	}
	if want := []string{ControllerManager, Scheduler, Kubelet, Proxy}; !slices.Equal(after, want) {
		t.Errorf("started after the API server: %v, want %v", after, want)
	}
}

func TestClustersShareNoAddress(t *testing.T) {
	hub, east := writeSpec(t, "hub", 0), writeSpec(t, "east", 1)
	for i, component := range hub.components() {
		for j, argument := range component.Args {
			other := east.components()[i].Args[j]
			if argument == other && strings.Contains(argument, "172.30.") {
				t.Errorf("%s: both clusters use %s", component.Name, argument)
			}
		}
	}
}
