package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// dumpDeadline bounds the collection: a lab that is broken enough to be dumped may also be too broken to answer.
const dumpDeadline = 90 * time.Second

// olmNamespace is where the lab has the Operator Lifecycle Manager.
const olmNamespace = "olm"

// Dump collects what explains a failure into bin/diag/<name>: conditions, events, pods, logs of the operator and
// istiod, and what each istiod knows of its peers. It reads no Secret. It returns the directory and never fails: what
// cannot be had is said in its file.
func (e *Env) Dump(ctx context.Context, name string) string {
	// The suite's own context may be what has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dumpDeadline)
	defer cancel()
	dir := e.Path("bin", "diag", strings.ReplaceAll(name, "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.Logf("diagnostics: %v", err)
		return dir
	}
	if e.Hub == nil {
		return dir
	}
	clusters := e.Clusters()
	for _, cluster := range clusters {
		d := dump{env: e, dir: dir, cluster: cluster}
		d.kubectl(ctx, "pods", "get", "pods", "-A", "-o", "wide")
		d.kubectl(ctx, "events", "get", "events", "-A", "--sort-by=.lastTimestamp")
		if cluster == HubName {
			d.operator(ctx)
			d.olm(ctx)
			continue
		}
		d.member(ctx)
	}
	e.Logf("diagnostics of %s are in %s", strings.Join(clusters, ", "), dir)
	return dir
}

// dump writes files about one cluster.
type dump struct {
	env     *Env
	dir     string
	cluster string
}

func (d dump) operator(ctx context.Context) {
	d.kubectl(ctx, "mesh", "get", "meshinstallations,meshmembers", "-A", "-o", "yaml")
	d.kubectl(ctx, "certificates", "get", "certificates,issuers,certificaterequests", "-A")
	logs := []string{"-n", OperatorNamespace, "logs", "deployment/" + OperatorDeployment, "--all-containers", "--tail=5000"}
	d.kubectl(ctx, "operator.log", logs...)
	d.kubectl(ctx, "operator-previous.log", append(slices.Clone(logs), "--previous")...)
	d.kubectl(ctx, "operator", "-n", OperatorNamespace, "describe", "deployments,pods")
}

// olm collects what the Operator Lifecycle Manager has done, on a hub that has it.
func (d dump) olm(ctx context.Context) {
	exists, err := d.env.Hub.Exists(ctx, "v1", "Namespace", "", olmNamespace)
	if err != nil || !exists {
		return
	}
	d.kubectl(ctx, "olm", "get", "catalogsources,subscriptions,installplans,clusterserviceversions,operatorgroups", "-A", "-o", "yaml")
	for _, name := range []string{"olm-operator", "catalog-operator"} {
		d.kubectl(ctx, name+".log", "-n", olmNamespace, "logs", "deployment/"+name, "--tail=5000")
	}
	d.kubectl(ctx, "operator-namespace", "-n", OperatorNamespace, "describe", "jobs,pods")
}

func (d dump) member(ctx context.Context) {
	d.kubectl(ctx, "control-plane", "-n", ControlPlaneNamespace, "get",
		"deployments,services,configmaps,gateways.networking.istio.io", "-o", "wide", "--show-labels")
	d.kubectl(ctx, "describe-control-plane", "-n", ControlPlaneNamespace, "describe", "pods")
	d.kubectl(ctx, "describe-demo", "-n", DemoNamespace, "describe", "pods")
	d.kubectl(ctx, "webhooks", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations",
		"--show-labels")
	for file, selector := range map[string]string{"istiod": "app=istiod", "gateway": "istio=eastwestgateway"} {
		d.kubectl(ctx, file+".log", "-n", ControlPlaneNamespace, "logs", "-l", selector, "--tail=2000", "--prefix")
	}
	out, err := d.env.Clusterz(ctx, d.cluster)
	d.write("clusterz", out, err)
}

// kubectl writes what one command prints.
func (d dump) kubectl(ctx context.Context, file string, args ...string) {
	out, err := d.env.Kubectl(ctx, d.cluster, args...)
	d.write(file, out, err)
}

func (d dump) write(file, out string, err error) {
	if err != nil {
		out += fmt.Sprintf("\nerror: %v\n", err)
	}
	path := filepath.Join(d.dir, d.cluster+"-"+file)
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		d.env.Logf("diagnostics: %v", err)
	}
}

// Clusterz asks the istiod of a member which clusters it has synced. The answer is JSON, one document per istiod.
func (e *Env) Clusterz(ctx context.Context, member string) (string, error) {
	pods, err := e.Kubectl(ctx, member, "-n", ControlPlaneNamespace, "get", "pods", "-l", "app=istiod",
		"--field-selector=status.phase=Running", "-o", "name")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for pod := range strings.FieldsSeq(pods) {
		out, err := e.Kubectl(ctx, member, "-n", ControlPlaneNamespace, "exec", pod, "--",
			"pilot-discovery", "request", "GET", "/debug/clusterz")
		if err != nil {
			return all.String(), err
		}
		all.WriteString(out + "\n")
	}
	return all.String(), nil
}
