package member

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	remoteSecretsComponent = "remote-secrets"
	readerTokensComponent  = "reader-tokens"
	markerComponent        = "discovery-marker"
)

// reader keeps the credential by which peers read this member, and the marker by which they see that they do. Precondition:
// foundation, which brings the account.
func (r *Reconciler) reader(ctx context.Context, s *scope) phase.Result {
	if s.withhold {
		return r.withheld(ctx, s)
	}
	st, ok := r.Fleet.State(s.key)
	if !ok {
		return phase.Waiting(meshv1alpha1.ReasonConnecting, "the connection was replaced", outcome.ShortWait)
	}
	server := s.member.Spec.APIServer
	if server == "" {
		server = st.Server
	}
	reader, err := discovery.EnsureReader(ctx, r.Client, s.remote, discovery.ReaderRequest{
		Member: s.member, SecretName: mesh.ReaderSecretName(s.member.Spec.Installation, s.member.Spec.Cluster),
		Server: server, CA: st.CAData,
	}, s.now)
	if errors.Is(err, discovery.ErrNoReader) {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, err.Error(), outcome.ShortWait)
	}
	if err != nil {
		return outcome.Failed(err)
	}
	s.member.Status.Discovery.TokenExpires = &metav1.Time{Time: reader.Expires}
	metrics.SetTokenExpiry(s.key, reader.Expires)
	if err := r.mark(ctx, s, reader.Marker); err != nil {
		return outcome.Failed(err)
	}
	result := phase.Complete(meshv1alpha1.ReasonReady, "")
	result.After = max(reader.Next().Sub(s.now), outcome.ShortWait)
	return result
}

// mark gives the member's marker its address. A member without peers has none: nothing reads it.
func (r *Reconciler) mark(ctx context.Context, s *scope, address string) error {
	d := &s.member.Status.Discovery
	component := apply.Component{Name: markerComponent}
	if len(s.member.Spec.Peers) > 0 {
		component.Objects = discovery.Marker(s.namespace(), address)
	}
	if err := r.apply(ctx, s, component); err != nil {
		return fmt.Errorf("write the marker of discovery: %w", err)
	}
	switch {
	case len(component.Objects) == 0:
		d.Marker = nil
	case d.Marker == nil || d.Marker.Address != address:
		d.Marker = &meshv1alpha1.DiscoveryMarker{Address: address, Since: metav1.NewTime(s.now.UTC().Truncate(time.Second))}
	}
	return nil
}

// remoteSecrets tells this member's istiod how to read its peers, as far as their credentials are on the hub. A peer
// that is down keeps its last credential, and one that is still joining is not waited for.
//
// A remote secret that istiod has read is not changed but by a restart: istiod of 1.29 and older stops reading the peer for good
// when the bytes change. A renewed token changes the Secrets with the tokens only.
func (r *Reconciler) remoteSecrets(ctx context.Context, s *scope) phase.Result {
	credentials, missing, err := discovery.Credentials(ctx, r.Client, s.member)
	if err != nil {
		return outcome.Failed(err)
	}
	if err := r.tokens(ctx, s, credentials, missing); err != nil {
		return outcome.Failed(err)
	}
	component := apply.Component{Name: remoteSecretsComponent}
	for _, peer := range missing {
		// A Secret that someone deleted on the hub must not cut the peer off; its own reconciler makes it again.
		component.Keep = append(component.Keep, discovery.RemoteSecretReference(s.namespace(), peer))
	}
	s.changed = nil
	for _, c := range credentials {
		object, err := r.remoteSecret(ctx, s, c)
		if err != nil {
			return outcome.Failed(err)
		}
		if object == nil {
			component.Keep = append(component.Keep, discovery.RemoteSecretReference(s.namespace(), c.Peer))
			continue
		}
		component.Objects = append(component.Objects, object)
	}
	if err := r.apply(ctx, s, component); err != nil {
		return outcome.Failed(err)
	}
	expected, err := r.expectedPeers(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	missing = slices.DeleteFunc(missing, func(peer string) bool { return !expected.serving[peer] })
	if len(missing) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers,
			"no reader credential yet of "+strings.Join(missing, ", "), 0)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// tokens writes the tokens of the peers. Those of peers whose credential is missing on the hub stay as they are.
func (r *Reconciler) tokens(ctx context.Context, s *scope, credentials []discovery.Credential, missing []string) error {
	component := apply.Component{Name: readerTokensComponent}
	if mesh.ReadsTokenFiles(&s.member.Spec) {
		tokens := map[string][]byte{}
		for _, c := range credentials {
			tokens[c.Peer] = c.Token
		}
		for _, peer := range missing {
			token, err := r.lastToken(ctx, s, peer)
			if err != nil {
				return err
			}
			if len(token) > 0 {
				tokens[peer] = token
			}
		}
		component.Objects = discovery.TokenSecrets(s.namespace(), tokens)
	}
	return r.apply(ctx, s, component)
}

// lastToken is the token of a peer that is in the member. Empty: there is none.
func (r *Reconciler) lastToken(ctx context.Context, s *scope, peer string) ([]byte, error) {
	secret := &corev1.Secret{}
	name := mesh.ReaderTokensSecretName(mesh.ReaderTokensShard(peer))
	err := s.remote.Get(ctx, client.ObjectKey{Namespace: s.namespace(), Name: name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %q: %w", name, err)
	}
	return secret.Data[peer], nil
}

// settledSecret is a remote secret that was found to lead where it must.
type settledSecret struct {
	resourceVersion string
	kubeconfig      [sha256.Size]byte
}

// remoteSecret is the Secret of one peer as it must be. Nil: it stays as it is.
func (r *Reconciler) remoteSecret(ctx context.Context, s *scope, c discovery.Credential) (*unstructured.Unstructured, error) {
	key := client.ObjectKey{Namespace: s.namespace(), Name: discovery.RemoteSecretName(c.Peer)}
	wanted, ok := discovery.Identity(c.Peer, c.Kubeconfig)
	if !ok {
		return nil, fmt.Errorf("the kubeconfig of peer %q cannot be read", c.Peer)
	}
	if last, ok := s.state.settled[c.Peer]; ok && last.kubeconfig == wanted {
		meta := &metav1.PartialObjectMetadata{}
		meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := s.state.connection.Cluster.GetCache().Get(ctx, key, meta); err == nil && meta.ResourceVersion == last.resourceVersion {
			return nil, nil
		}
	}
	live := &corev1.Secret{}
	err := s.remote.Get(ctx, key, live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %q: %w", key.Name, err)
	}
	have, readable := discovery.Identity(c.Peer, live.Data[c.Peer])
	switch {
	case apierrors.IsNotFound(err):
		return discovery.RemoteSecret(s.namespace(), c.Peer, c.Kubeconfig), nil
	case readable && have == wanted:
		if s.state.settled == nil {
			s.state.settled = map[string]settledSecret{}
		}
		s.state.settled[c.Peer] = settledSecret{live.ResourceVersion, wanted}
		return discovery.RemoteSecret(s.namespace(), c.Peer, live.Data[c.Peer]), nil
	case !mesh.HasServed(s.member) || mesh.IsRestarting(s.member):
		log.FromContext(ctx).Info("Changing remote secret", "peer", c.Peer)
		return discovery.RemoteSecret(s.namespace(), c.Peer, c.Kubeconfig), nil
	}
	s.changed = append(s.changed, c.Peer)
	return nil, nil
}
