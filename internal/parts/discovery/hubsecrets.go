package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// errHubReadable says what follows when peers read the hub.
var errHubReadable = errors.New("the member is the hub: the token by which peers read it lists all its Secrets, the root's private key and all kubeconfigs among them")

const hubCure = "take it out of spec.members, or accept this by spec.members[].hubSecrets: ReadableByPeers"

// hubSecrets sees to it that peers get no token of the hub unless the spec accepts what they can read with it. It comes before
// anything is written in the cluster. A hub that peers read already stays as it is, because to take their token away would
// cut them off; a hub that has served without peers goes on to be kept, without a token.
func (s *Steps) hubSecrets(ctx context.Context, pass *member.Pass) phase.Result {
	spec := &pass.Object.Spec
	s.memory.Of(pass).withhold = false
	tell := func(result phase.Result) {
		pass.Aside = append(pass.Aside, status.Outcome{Type: meshv1alpha1.ConditionHubSecretsProtected, Aside: true, Result: result})
	}
	readable := func(message string, args ...any) {
		tell(phase.Waiting(meshv1alpha1.ReasonHubSecretsReadable, errHubReadable.Error()+"; "+fmt.Sprintf(message, args...), 0))
	}
	protected := phase.Complete(meshv1alpha1.ReasonReady, "no peer reads the Secrets of the hub")
	if !s.isReadableHub(pass) {
		tell(protected)
		return phase.Result{}
	}
	if len(spec.Peers) > 0 && spec.HubSecrets == meshv1alpha1.HubSecretsReadableByPeers {
		readable("spec.members[%s].hubSecrets accepts it", spec.Cluster)
		return phase.Result{}
	}
	readers, err := s.readersOfHub(ctx, pass)
	switch {
	case err != nil:
		return outcome.Failed(err)
	case len(readers) > 0:
		readable("it stays as it is, because these read it already: %s; %s", mesh.List(readers, len(readers)), hubCure)
		return phase.Result{}
	}
	s.memory.Of(pass).withhold = true
	tell(protected)
	if len(spec.Peers) == 0 || mesh.HasServed(pass.Object) {
		return phase.Result{}
	}
	return outcome.Stalled(meshv1alpha1.ReasonHubSecretsReadable, fmt.Errorf("%w; %s", errHubReadable, hubCure))
}

// isReadableHub says whether the member is the hub, whatever its clusterRef, and a release in the mesh reads peers' Secrets.
func (s *Steps) isReadableHub(pass *member.Pass) bool {
	if s.HubUID == "" || pass.Object.Status.ClusterUID != s.HubUID {
		return false
	}
	versions := []string{pass.Object.Spec.ReaderVersion}
	for _, rev := range pass.Object.Spec.Revisions {
		versions = append(versions, rev.Version)
	}
	return istioversion.ReadPeerSecrets(versions...)
}

// readersOfHub are the peers that have the hub's token: those whose istiod lists the hub, or all, if the token is there for them.
func (s *Steps) readersOfHub(ctx context.Context, pass *member.Pass) ([]string, error) {
	if len(pass.Object.Spec.Peers) == 0 {
		return nil, nil
	}
	if secret, err := s.readerSecret(ctx, pass); err != nil || secret != nil {
		var all []string
		for _, p := range pass.Object.Spec.Peers {
			all = append(all, p.Name)
		}
		return all, err
	}
	siblings, err := pass.Siblings(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range siblings {
		if slices.ContainsFunc(siblings[i].Status.Discovery.Peers, func(p meshv1alpha1.PeerStatus) bool {
			return p.Name == pass.Object.Spec.Cluster && p.State != meshv1alpha1.PeerMissing && p.State != meshv1alpha1.PeerForeign
		}) {
			out = append(out, siblings[i].Spec.Cluster)
		}
	}
	return out, nil
}

// readerSecret is the hub Secret with the member's reader token, or nil.
func (s *Steps) readerSecret(ctx context.Context, pass *member.Pass) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: pass.Object.Namespace, Name: mesh.ReaderSecretName(pass.Object.Spec.Installation, pass.Object.Spec.Cluster)}
	if err := pass.Hub.Get(ctx, key, secret); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if secret.Labels[meshv1alpha1.LabelInstallation] != pass.Object.Spec.Installation || secret.Labels[meshv1alpha1.LabelMember] != pass.Object.Spec.Cluster {
		return nil, nil
	}
	return secret, nil
}

// withheld keeps the hub's token from being made. One that was made while no peer could read it is deleted.
func (s *Steps) withheld(ctx context.Context, pass *member.Pass) phase.Result {
	pass.Object.Status.Discovery.TokenExpires = nil
	if len(pass.Object.Spec.Peers) > 0 {
		return outcome.Stalled(meshv1alpha1.ReasonHubSecretsReadable, fmt.Errorf("peers get no token: %w; %s", errHubReadable, hubCure))
	}
	secret, err := s.readerSecret(ctx, pass)
	if err == nil {
		_, err = mark(ctx, pass, false)
	}
	if err == nil && secret != nil {
		err = client.IgnoreNotFound(s.Hub.Delete(ctx, secret))
	}
	if err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}
