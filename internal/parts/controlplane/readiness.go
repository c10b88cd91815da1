package controlplane

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// State is the state of one istiod.
type State struct {
	member.Rollout
	// Armed says that a pod is ready and that every webhook of the revision has the bundle by which the API server trusts istiod;
	// istiod writes it when it serves. The rollout may be incomplete all the same.
	Armed bool
}

// Observe reads the state of a revision: its Deployment, and its webhooks that belong to the installation.
func Observe(ctx context.Context, c client.Reader, namespace, revision, installation string) (State, error) {
	rollout, err := member.Deployment(ctx, c, client.ObjectKey{Namespace: namespace, Name: RevisionPrefix + revision})
	if err != nil || rollout.ReadyReplicas == 0 {
		return State{Rollout: rollout}, err
	}
	selector := client.MatchingLabels{istio.RevisionLabel: revision, meshv1alpha1.LabelInstallation: installation}
	mutating := &admissionregistrationv1.MutatingWebhookConfigurationList{}
	if err := c.List(ctx, mutating, selector); err != nil {
		return State{}, fmt.Errorf("list injection webhooks of revision %q: %w", revision, err)
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	if err := c.List(ctx, validating, selector); err != nil {
		return State{}, fmt.Errorf("list validation webhooks of revision %q: %w", revision, err)
	}
	s := State{Rollout: rollout, Armed: len(mutating.Items) > 0 && len(validating.Items) > 0}
	for i := range mutating.Items {
		for _, w := range mutating.Items[i].Webhooks {
			s.disarmedBy(mutating.Items[i].Name, w.ClientConfig)
		}
	}
	for i := range validating.Items {
		for _, w := range validating.Items[i].Webhooks {
			s.disarmedBy(validating.Items[i].Name, w.ClientConfig)
		}
	}
	return s, nil
}

func (s *State) disarmedBy(name string, c admissionregistrationv1.WebhookClientConfig) {
	if len(c.CABundle) == 0 {
		if s.Armed = false; !s.Complete {
			return
		}
		s.Message = "istiod has not written the caBundle of webhook " + name + " yet"
	}
}
