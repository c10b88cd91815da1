package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/discovery"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

const remoteSecretsComponent = "remote-secrets"

// reader keeps the credential by which peers read this member. Precondition: foundation,
// which brings the account.
func (r *MeshMemberReconciler) reader(ctx context.Context, s *scope) phase.Result {
	st, ok := r.Fleet.State(s.key)
	if !ok {
		return phase.Waiting(meshv1alpha1.ReasonConnecting, "the connection was replaced", shortWait)
	}
	server := s.member.Spec.APIServer
	if server == "" {
		server = st.Server
	}
	reader, err := discovery.EnsureReader(ctx, r.Client, s.remote, discovery.ReaderRequest{
		Member: s.member, SecretName: plan.ReaderSecretName(s.member.Spec.Installation, s.member.Spec.Cluster),
		Server: server, CA: st.CAData,
	}, s.now)
	if errors.Is(err, discovery.ErrNoReader) {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, err.Error(), shortWait)
	}
	if err != nil {
		return failed(err)
	}
	s.member.Status.Discovery.TokenExpires = &metav1.Time{Time: reader.Expires}
	metrics.SetTokenExpiry(s.key, reader.Expires)
	result := phase.Complete(meshv1alpha1.ReasonReady, "")
	result.After = max(reader.RenewAt.Sub(s.now), shortWait)
	return result
}

// remoteSecrets tells this member's istiod how to read its peers, as far as their credentials are on the hub. A peer
// that is down keeps its last credential, and one that is still joining is not waited for.
func (r *MeshMemberReconciler) remoteSecrets(ctx context.Context, s *scope) phase.Result {
	secrets, missing, err := discovery.RemoteSecrets(ctx, r.Client, s.member)
	if err != nil {
		return failed(err)
	}
	component := apply.Component{Name: remoteSecretsComponent, Objects: secrets}
	for _, peer := range missing {
		// A Secret that someone deleted on the hub must not cut the peer off; its own reconciler makes it again.
		component.Keep = append(component.Keep, discovery.RemoteSecretReference(s.namespace(), peer))
	}
	if err := r.apply(ctx, s, component); err != nil {
		return failed(err)
	}
	expected, err := r.expectedPeers(ctx, s)
	if err != nil {
		return failed(err)
	}
	missing = slices.DeleteFunc(missing, func(peer string) bool { return !expected.serving[peer] })
	if len(missing) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers,
			"no reader credential yet of "+strings.Join(missing, ", "), 0)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}
