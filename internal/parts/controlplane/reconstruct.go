package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// versionLabel has the release on the objects of Istio's charts.
	versionLabel = "app.kubernetes.io/version"
	// valuesPrefix and a revision's name make the name of the ConfigMap in which the istiod chart writes its values.
	valuesPrefix = "values-"
	valuesKey    = "merged-values"
	// restartReasonFound is the reason of a restart that is known from the annotation of istiod's pods only.
	restartReasonFound = "Restored"
)

// Reconstruct finds out what a member runs of this mesh without any record of it: from the istiod Deployments, and from the values that the
// chart of the revision has written down. Nil and no obstacle: the cluster runs no istiod of this mesh. An obstacle says why it is not
// certain what runs; then nothing may be changed there. Precondition: pass.Object is not known to have served.
func (s *Steps) Reconstruct(ctx context.Context, pass *member.Pass) (order *meshv1alpha1.OrderInForce, obstacle string, err error) {
	found := &appsv1.DeploymentList{}
	if err := pass.Remote.List(ctx, found, client.InNamespace(pass.Namespace()),
		client.MatchingLabels{"app": "istiod", meshv1alpha1.LabelInstallation: pass.Owner()}); err != nil {
		return nil, "", fmt.Errorf("list istiod Deployments: %w", err)
	}
	var names []string
	for i := range found.Items {
		names = append(names, found.Items[i].Labels[istio.RevisionLabel])
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return nil, "", nil
	case 1:
	default:
		return nil, fmt.Sprintf("the cluster runs %d revisions of this mesh: %s; it is not known which of them namespaces are to get; restore "+
			"that record, or delete the istiod Deployments that no pod uses", len(names), strings.Join(names, ", ")), nil
	}
	istiod := &found.Items[0]
	version := istiod.Labels[versionLabel]
	rev := mesh.RunningRevision(pass.Object)
	// The charts of a vendor have a suffix behind the version.
	if base, _, hasSuffix := strings.Cut(version, "-"); hasSuffix && base == rev.Version && !rev.Charts.IsZero() {
		version = base
	}
	if rev.Version != version {
		rev.Charts = meshv1alpha1.ChartDigests{}
	}
	if _, ok := istioversion.Installable(version, !rev.Charts.IsZero()); !ok {
		return nil, fmt.Sprintf("revision %s has version %q, of which this operator has no charts; restore that record, or use an operator that "+
			"has them", names[0], version), nil
	}
	rev.Name, rev.Version = names[0], version
	isSame, err := s.hasValues(ctx, pass, &rev)
	if err != nil {
		return nil, "", err
	}
	if !isSame {
		return nil, fmt.Sprintf("revision %s (Istio %s) was installed with other values than the spec has; restore that record, or give the "+
			"MeshInstallation the version and the values that run there (ConfigMap %s/%s has them) and change them when the member is Ready",
			rev.Name, version, pass.Namespace(), valuesPrefix+rev.Name), nil
	}
	return orderOf(pass, rev, istiod), "", nil
}

// orderOf is the order of a member in which one revision has everything.
func orderOf(pass *member.Pass, rev meshv1alpha1.Revision, istiod *appsv1.Deployment) *meshv1alpha1.OrderInForce {
	out := &meshv1alpha1.OrderInForce{
		Revisions: []meshv1alpha1.Revision{rev}, DefaultRevision: rev.Name, GatewayRevision: rev.Name, ReaderTokens: meshv1alpha1.ReaderTokensInline,
	}
	for _, t := range pass.Object.Spec.Tags {
		out.Tags = append(out.Tags, meshv1alpha1.Tag{Name: t.Name, Revision: rev.Name})
	}
	template := &istiod.Spec.Template
	if slices.ContainsFunc(template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == readerTokensVolume }) {
		out.ReaderTokens = meshv1alpha1.ReaderTokensFile
	}
	if at, err := time.Parse(time.RFC3339, template.Annotations[mesh.RestartAnnotation]); err == nil {
		out.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(at.UTC()), Reason: restartReasonFound, Attempt: 1}
	}
	return out
}

// hasValues says whether the chart of a revision has written down exactly the values that it would write now.
func (s *Steps) hasValues(ctx context.Context, pass *member.Pass, rev *meshv1alpha1.Revision) (bool, error) {
	c, err := From(s.Charts).Revision(&pass.Object.Spec, rev)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(c.Objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "ConfigMap" && o.GetName() == valuesPrefix+rev.Name
	})
	if i < 0 {
		return false, nil
	}
	want, _, err := unstructured.NestedString(c.Objects[i].Object, "data", valuesKey)
	if err != nil {
		return false, fmt.Errorf("values of revision %q: %w", rev.Name, err)
	}
	live := &corev1.ConfigMap{}
	err = pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: valuesPrefix + rev.Name}, live)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read the values of revision %q: %w", rev.Name, err)
	}
	return !apierrors.IsNotFound(err) && want != "" && live.Data[valuesKey] == want, nil
}
