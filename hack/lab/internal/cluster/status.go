//go:build linux

package cluster

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addons"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
)

const statusLimit = 3 * time.Second

// Status describes one cluster, for people and for programs.
type Status struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	// Running tells that the node's supervisor lives, Complete that the last up finished.
	Running   bool   `json:"running"`
	Complete  bool   `json:"complete"`
	Link      string `json:"link"`
	APIReady  bool   `json:"apiReady"`
	NodeReady bool   `json:"nodeReady"`
	// PID is that of the supervisor on the host.
	PID           int                       `json:"pid,omitempty"`
	Server        string                    `json:"server"`
	Kubeconfig    string                    `json:"kubeconfig"`
	AuditLog      string                    `json:"auditLog"`
	Logs          string                    `json:"logs"`
	Node          netip.Addr                `json:"node"`
	Pods          netip.Prefix              `json:"pods"`
	Services      netip.Prefix              `json:"services"`
	LoadBalancers []netip.Addr              `json:"loadBalancers"`
	InUse         map[string]string         `json:"inUse,omitempty"`
	CertManager   bool                      `json:"certManager"`
	OLM           bool                      `json:"olm"`
	Prometheus    bool                      `json:"prometheus"`
	Images        []string                  `json:"images"`
	Components    []control.ComponentStatus `json:"components"`
}

// Status looks at every cluster that has a record.
func (e *Engine) Status(ctx context.Context) ([]Status, error) {
	names, err := e.store.Clusters()
	if err != nil {
		return nil, err
	}
	statuses := []Status{}
	for _, name := range names {
		if status, ok := e.statusOf(ctx, name); ok {
			statuses = append(statuses, status)
		}
	}
	return statuses, nil
}

func (e *Engine) statusOf(ctx context.Context, name string) (Status, bool) {
	record, err := e.store.Load(name)
	if err != nil {
		return Status{}, false
	}
	plan, err := addr.For(record.Index)
	if err != nil {
		return Status{}, false
	}
	dir := e.store.Dir(name)
	status := Status{
		Name: name, Index: record.Index, Running: isRunning(record), Complete: record.Ready,
		Link: upOrDown(network.IsUp(name)), Kubeconfig: kubeconfigIn(record.Out, name), AuditLog: dir.AuditLog(),
		Logs: dir.Logs(), Node: plan.Node, Pods: plan.Pods, Services: plan.Services, LoadBalancers: plan.Pool,
		CertManager: record.CertManager, OLM: record.OLM, Prometheus: record.Prometheus, Images: slices.Sorted(maps.Keys(record.Images)),
	}
	if !status.Running {
		return status, true
	}
	status.PID = record.Process.PID
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	if answer, err := e.supervisor(name).Status(ctx); err == nil {
		status.APIReady, status.Components, status.InUse = answer.APIReady, answer.Components, answer.Addresses
	}
	if config, err := e.restConfig(name); err == nil {
		status.Server = config.Host
		if client, err := kubernetes.NewForConfig(config); err == nil {
			node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			status.NodeReady = err == nil && addons.IsNodeReady(node)
		}
	}
	return status, true
}
