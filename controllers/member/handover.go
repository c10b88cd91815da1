package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
)

// keeper is the revision at which the Services of the tags stay while workloads leave it: the tags point at it, or did until
// now. A revision at which no tag has ever pointed, as when a member goes back before they moved, must not get Gateways by
// a Service.
func (r *Reconciler) keeper(ctx context.Context, s *scope) (string, error) {
	leaving := controlplane.Leaving(&s.member.Spec)
	if leaving == "" {
		return "", nil
	}
	tags, err := tagsAt(ctx, s, leaving)
	if err != nil || len(tags) == 0 {
		return "", err
	}
	return leaving, nil
}

// tagsAt are the tags whose webhook or Service is of a revision.
func tagsAt(ctx context.Context, s *scope, revision string) ([]string, error) {
	var tags []string
	for _, kind := range []schema.GroupVersionKind{
		admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfigurationList"),
		corev1.SchemeGroupVersion.WithKind("ServiceList"),
	} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		if err := s.remote.List(ctx, list, client.HasLabels{controlplane.TagLabel}, client.MatchingLabels{
			meshv1alpha1.LabelInstallation: s.owner(), "istio.io/rev": revision,
		}); err != nil {
			return nil, fmt.Errorf("list tags of revision %q: %w", revision, err)
		}
		for i := range list.Items {
			tags = append(tags, "tag "+list.Items[i].Labels[controlplane.TagLabel])
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// permissionsSettle is how long tags wait at most for permissions to be known. What else is written, over and over again
// perhaps, must not keep a member from going back.
const permissionsSettle = 3 * time.Second

// isTooEarly says that the keeper's permissions may have changed in this very pass. API servers take a moment to know them,
// and until then two istiods would write the same Deployments.
func isTooEarly(s *scope, keeper string) bool {
	return keeper != "" && s.wrote[controlplane.RevisionPrefix+keeper] && s.now.Sub(s.member.Status.Rollout.Since.Time) < permissionsSettle
}
