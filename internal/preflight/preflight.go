package preflight

import (
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// patience bounds one check.
	patience = 20 * time.Second
	// page bounds what one answer of the API server may hold.
	page = 500
	// shown is how many problems a message names.
	shown = 5
	// CheckKubernetes is the name of the check of the API server's version. It cannot be overruled: istiod would refuse to
	// start.
	CheckKubernetes = "Kubernetes"
)

// Subject is what the checks are asked about.
type Subject struct {
	// Client reads the API server itself: nodes and users' namespaces have no label of ours.
	Client client.Client
	// Namespace of the control plane.
	Namespace string
	// Installation is the value of the label that names the installation.
	Installation string
	// Release is the one that the member goes to, KubernetesVersion that of its API server.
	Release           istioversion.Release
	KubernetesVersion string
	// Before and After are the operator's objects in the member before the upgrade and after it.
	Before, After []*unstructured.Unstructured
	// Injects are the tags and revisions that namespaces may name to get a proxy, besides `istio-injection: enabled`.
	Injects []string
	// InjectsByDefault says that pods get a proxy where no label asks for one, too.
	InjectsByDefault bool
	// Watched are the kinds of which the operator watches all objects in the member.
	Watched []client.Object
	// Evicts says that workloads are moved by eviction.
	Evicts bool
}

// Finding is what a check has found: problems, or in words what is well.
type Finding struct {
	// Name of the check.
	Name string
	// Problems, each with its cure. None, and no Failures: the check has passed.
	Problems []string
	// Failures are problems that only another target cures.
	Failures []string
	// Note says what was looked at.
	Note string
	// Err says why the check could not be asked.
	Err error
}

// Run asks all checks, in the order of their names. The error of one is in its finding.
func Run(ctx context.Context, m *Subject) []Finding {
	var out []Finding
	for _, c := range []struct {
		name string
		ask  func(context.Context, *Subject) (Finding, error)
	}{
		{string(meshv1alpha1.CheckCNI), cni},
		{string(meshv1alpha1.CheckCustomResources), customResources},
		{string(meshv1alpha1.CheckGatewayAPI), gatewayAPI},
		{string(meshv1alpha1.CheckGateways), gateways},
		{CheckKubernetes, kubernetes},
		{string(meshv1alpha1.CheckPermissions), permissions},
		{string(meshv1alpha1.CheckRoom), room},
		{string(meshv1alpha1.CheckWebhooks), webhooks},
	} {
		f, err := ask(ctx, m, c.ask)
		f.Name, f.Err = c.name, err
		out = append(out, f)
	}
	return out
}

func ask(ctx context.Context, m *Subject, check func(context.Context, *Subject) (Finding, error)) (Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return check(ctx, m)
}

// Results are the findings as they are reported. A verdict that has not changed keeps its time.
func Results(findings []Finding, ignore []meshv1alpha1.PreflightCheck, previous []meshv1alpha1.GateResult, now time.Time) []meshv1alpha1.GateResult {
	out := make([]meshv1alpha1.GateResult, 0, len(findings))
	for _, f := range findings {
		r := meshv1alpha1.GateResult{Name: f.Name, Since: metav1.NewTime(now.Truncate(time.Second))}
		r.Verdict, r.Message = f.verdict()
		r.DryRun = slices.Contains(ignore, meshv1alpha1.PreflightCheck(f.Name))
		for _, p := range previous {
			if p.Name == r.Name && p.Verdict == r.Verdict {
				r.Since = p.Since
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b meshv1alpha1.GateResult) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (f *Finding) verdict() (meshv1alpha1.Verdict, string) {
	switch {
	case len(f.Failures) > 0:
		return meshv1alpha1.VerdictFail, some(slices.Concat(f.Failures, f.Problems), "; ")
	case f.Err != nil:
		return meshv1alpha1.VerdictError, f.Err.Error()
	case len(f.Problems) > 0:
		return meshv1alpha1.VerdictInconclusive, some(f.Problems, "; ")
	}
	return meshv1alpha1.VerdictPass, f.Note
}

// kubernetes asks whether istiod of the release starts on the cluster.
func kubernetes(_ context.Context, m *Subject) (Finding, error) {
	if err := m.Release.CheckKubernetes(m.KubernetesVersion); err != nil {
		return Finding{Problems: []string{err.Error() + ": upgrade the cluster first"}}, nil
	}
	note := "Kubernetes " + m.KubernetesVersion
	if concern := m.Release.KubernetesConcern(m.KubernetesVersion); concern != "" {
		note = "warning: " + concern
	}
	return Finding{Note: note}, nil
}

// some joins the first of many in a stable order.
func some(names []string, separator string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return mesh.Enumerate(names, len(names), shown, separator)
}

// pages reads a list page by page.
func pages(ctx context.Context, c client.Reader, list client.ObjectList, read func(), options ...client.ListOption) error {
	for token := ""; ; {
		if err := c.List(ctx, list, append(slices.Clone(options), client.Limit(page), client.Continue(token))...); err != nil {
			return err
		}
		read()
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}
