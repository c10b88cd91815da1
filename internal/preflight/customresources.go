package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/apply"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

const (
	versionLabel = "app.kubernetes.io/version"
	olmLabel     = "olm.managed"
	helmRelease  = "meta.helm.sh/release-name"
	helmSpace    = "meta.helm.sh/release-namespace"
	bundleKey    = "gateway.networking.k8s.io/bundle-version"
)

// customResources asks whether Istio's definitions can be brought to the release. Newer ones stay as they are.
func customResources(ctx context.Context, m *Subject) (Finding, error) {
	var out Finding
	looked, newer := 0, 0
	for _, o := range m.After {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		looked++
		want := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, want); err != nil {
			return out, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		live := &apiextensionsv1.CustomResourceDefinition{}
		err := m.Client.Get(ctx, client.ObjectKey{Name: o.GetName()}, live)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		if isNewer(live, want) {
			newer++
			continue
		}
		if problem := definitionProblem(live, want); problem != "" {
			out.Problems = append(out.Problems, o.GetName()+" "+problem)
		}
	}
	out.Note = fmt.Sprintf("%d definitions", looked)
	if newer > 0 {
		out.Note += fmt.Sprintf(", %d of a newer release, which stay", newer)
	}
	return out, nil
}

func isNewer(live, want *apiextensionsv1.CustomResourceDefinition) bool {
	have := live.Labels[versionLabel]
	return have != "" && istioversion.Compare(have, want.Labels[versionLabel]) > 0
}

// definitionProblem says why a definition that is not newer cannot become what is wanted.
func definitionProblem(live, want *apiextensionsv1.CustomResourceDefinition) string {
	var gone, lacking []string
	for _, v := range live.Status.StoredVersions {
		if !serves(want, v) {
			gone = append(gone, v)
		}
	}
	for _, v := range want.Spec.Versions {
		if v.Served && !serves(live, v.Name) {
			lacking = append(lacking, v.Name)
		}
	}
	owner, cure := ownerOf(live)
	isOlder := live.Labels[versionLabel] != "" && live.Labels[versionLabel] != want.Labels[versionLabel]
	switch {
	case owner != "" && (isOlder || len(lacking) > 0):
		return fmt.Sprintf("belongs to %s and is older than %s: %s", owner, want.Labels[versionLabel], cure)
	case owner == "" && len(gone) > 0:
		return fmt.Sprintf("has objects stored as %s, which the release does not know: store them anew and take that version out of status.storedVersions",
			strings.Join(gone, ", "))
	}
	return ""
}

func serves(crd *apiextensionsv1.CustomResourceDefinition, version string) bool {
	return slices.ContainsFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == version })
}

// ownerOf names another tool that keeps a definition. One that the operator has taken over from it is the operator's.
func ownerOf(live *apiextensionsv1.CustomResourceDefinition) (owner, cure string) {
	if live.Labels[olmLabel] == "true" {
		return "the Operator Lifecycle Manager", "upgrade the operator that brings it"
	}
	for k, v := range apply.ManagedLabels() {
		if live.Labels[k] != v {
			if release := live.Annotations[helmRelease]; release != "" {
				name := live.Annotations[helmSpace] + "/" + release
				return "Helm release " + name, "upgrade that release, or take its two meta.helm.sh annotations off so that the operator keeps the definition"
			}
		}
	}
	return "", ""
}

// gatewayAPI asks whether definitions of the Gateway API are new enough. Istiod ignores the objects of those that are
// older, without a word. One that is not there is no problem.
func gatewayAPI(ctx context.Context, m *Subject) (Finding, error) {
	var out Finding
	found := 0
	for _, name := range slices.Sorted(maps.Keys(m.Release.GatewayAPI)) {
		crd := &metav1.PartialObjectMetadata{}
		crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
		err := m.Client.Get(ctx, client.ObjectKey{Name: name}, crd)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read CustomResourceDefinition %s: %w", name, err)
		}
		found++
		if err := m.Release.CheckGatewayAPI(name, crd.Annotations[bundleKey]); err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("%s %s: install a newer bundle of the Gateway API, or delete the definition if nobody uses it", name, err))
		}
	}
	out.Note = fmt.Sprintf("%d of %d definitions with a minimum are there", found, len(m.Release.GatewayAPI))
	return out, nil
}
