package discovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// Components of discovery.
const (
	remoteSecretsComponent = "remote-secrets"
	readerTokensComponent  = "reader-tokens"
	markerComponent        = "discovery-marker"
)

// Steps of a member's discovery of its peers.
type Steps struct {
	// Hub reads and writes the Secrets with the reader tokens.
	Hub client.Client
	// HubUID identifies the hub: the UID of its kube-system namespace.
	HubUID string
	// State is that of a member's connection, with the server and the CA by which the hub reaches it.
	State func(types.NamespacedName) (fleet.State, bool)
	// Istiod asks istiod pods what they know of peers.
	Istiod member.Istiod

	memory      member.Memory[memory]
	credentials credentials
}

// memory is what is remembered of a member's discovery between passes.
type memory struct {
	verified verification
	acks     gatewayAcks
	// settled are the remote secrets that lead where they must, by peer.
	settled map[string]settledSecret
	// stuckSince is since when istiod has not read a peer though it could, by peer.
	stuckSince map[string]time.Time
	// changed are the peers whose remote secret must change as of the last pass, which takes a restart of istiod.
	changed []string
	// proof is what is known of the reader token of this member.
	proof proof
	// withhold says, as of the last pass, that peers must not get a token of this cluster.
	withhold bool
}

// Part is what the steps make: tokens of the peers and remote secrets with which istiod reads them, and the member's marker.
func (s *Steps) Part() member.Part {
	return member.Part{
		Name: "discovery",
		Steps: []member.Step{
			{Name: "hubSecrets", Round: member.Vet, Run: s.hubSecrets, Gate: true},
			// Before istiod, so that one that starts finds its peers; and nothing may be in the way of their tokens.
			{Name: "remoteSecrets", Round: member.Prepare, Run: s.remoteSecrets, Renews: true},
			{Name: "reader", Round: member.Prepare, Run: s.reader, Renews: true},
			{Name: "verifyPeers", Condition: meshv1alpha1.ConditionDiscoveryReady, Round: member.Prove, Run: s.verifyPeers},
		},
		Components: []string{readerTokensComponent, remoteSecretsComponent, markerComponent},
		Kinds:      []client.Object{&corev1.Secret{}, &corev1.Service{}},
		Rules: []rbacv1.PolicyRule{
			member.Rule("", member.Watch, "configmaps", "secrets", "services"),
		},
		NamespaceRules: []rbacv1.PolicyRule{
			member.Rule("", member.Own, "configmaps", "secrets", "services"),
			// Tokens by which peers read this cluster, for that one account: a token of any other might hold more than this role.
			{
				APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"},
				ResourceNames: []string{readerAccount}, Verbs: []string{"create"},
			},
			// Whether a reader token is still accepted.
			member.Rule("authentication.k8s.io", []string{"create"}, "tokenreviews"),
			// The endpoint of the marker by which peers see that they receive what is new.
			member.Rule("discovery.k8s.io", member.Own, "endpointslices"),
		},
	}
}

// reader keeps the credential by which peers read this member, and the marker by which they see that they do. Precondition:
// foundation, which brings the account.
func (s *Steps) reader(ctx context.Context, pass *member.Pass) phase.Result {
	if s.memory.Of(pass).withhold {
		return s.withheld(ctx, pass)
	}
	st, ok := s.State(pass.Key())
	if !ok {
		return phase.Waiting(meshv1alpha1.ReasonConnecting, "the connection was replaced", outcome.ShortWait)
	}
	reader, rejected, err := s.provenReader(ctx, pass, ReaderRequest{
		Member: pass.Object, SecretName: mesh.ReaderSecretName(pass.Object.Spec.Installation, pass.Object.Spec.Cluster),
		Endpoint: endpointOf(&pass.Object.Spec, st),
	})
	if errors.Is(err, ErrNoReader) {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, err.Error(), outcome.ShortWait)
	}
	if err != nil {
		return outcome.Failed(err)
	}
	pass.Object.Status.Discovery.TokenExpires = &metav1.Time{Time: reader.Expires}
	metrics.SetTokenExpiry(pass.Key(), reader.Expires)
	markAgain, err := mark(ctx, pass, reader.Replaced)
	if err != nil {
		return outcome.Failed(err)
	}
	result, err := reachableByPeers(ctx, pass, st)
	if err != nil {
		return outcome.Failed(err)
	}
	if rejected.Kind != phase.Done {
		result = rejected
	}
	result.After = max(min(reader.RenewAt.Sub(pass.Now), markAgain.Sub(pass.Now), proofPace), outcome.ShortWait)
	return result
}

// reachableByPeers waits for spec.members[].apiServer, or for a peer that reads the member all the same, if the hub itself reaches the member
// through a proxy: istiod of peers connects without one, and reports a timeout only.
func reachableByPeers(ctx context.Context, pass *member.Pass, st fleet.State) (phase.Result, error) {
	spec := &pass.Object.Spec
	done := phase.Complete(meshv1alpha1.ReasonReady, "")
	if !st.Proxied || spec.APIServer != "" || len(spec.Peers) == 0 {
		return done, nil
	}
	siblings, err := pass.Siblings(ctx)
	if err != nil {
		return phase.Result{}, err
	}
	for i := range siblings {
		for _, p := range siblings[i].Status.Discovery.Peers {
			if p.Name == spec.Cluster && (p.State == meshv1alpha1.PeerSynced || p.State == meshv1alpha1.PeerGatewayUnknown) {
				return done, nil
			}
		}
	}
	return phase.Waiting(meshv1alpha1.ReasonAPIServerRequired, fmt.Sprintf("the kubeconfig has a proxy-url, peers connect to %s without a proxy, and none "+
		"has read the member yet: set spec.members[%s].apiServer to the URL at which peers reach its API server", st.Server, spec.Cluster), 0), nil
}

// remoteSecrets tells this member's istiod how to read its peers, as far as their credentials are on the hub. A peer
// that is down keeps its last credential, and one that is still joining is not waited for.
//
// A remote secret that istiod has read is not changed but by a restart: istiod of 1.29 and older stops reading the peer for good
// when the bytes change. A renewed token changes the Secrets with the tokens only.
func (s *Steps) remoteSecrets(ctx context.Context, pass *member.Pass) phase.Result {
	s.memory.Of(pass).changed = nil
	credentials, missing, err := s.credentials.read(ctx, s.Hub, pass.Object)
	if err != nil {
		return outcome.Failed(err)
	}
	if err := tokens(ctx, pass, credentials, missing); err != nil {
		return outcome.Failed(err)
	}
	component := apply.Component{Name: remoteSecretsComponent}
	for _, peer := range missing {
		// A Secret that someone deleted on the hub must not cut the peer off; its own reconciler makes it again.
		component.Keep = append(component.Keep, RemoteSecretReference(pass.Namespace(), peer))
	}
	for _, c := range credentials {
		object, err := s.remoteSecret(ctx, pass, c)
		if err != nil {
			return outcome.Failed(err)
		}
		if object == nil {
			component.Keep = append(component.Keep, RemoteSecretReference(pass.Namespace(), c.Peer))
			continue
		}
		component.Objects = append(component.Objects, object)
	}
	if err := pass.Apply(ctx, component); err != nil {
		return outcome.Failed(err)
	}
	expected, err := readExpected(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	missing = slices.DeleteFunc(missing, func(peer string) bool { return !expected.serving[peer] })
	if len(missing) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers,
			"no reader credential yet of "+mesh.List(missing, len(missing)), 0)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// tokens writes the tokens of the peers. Those of peers whose credential is missing on the hub stay as they are.
func tokens(ctx context.Context, pass *member.Pass, credentials []Credential, missing []string) error {
	component := apply.Component{Name: readerTokensComponent}
	if mesh.ReadsTokenFiles(&pass.Object.Spec) {
		tokens := map[string][]byte{}
		for _, c := range credentials {
			tokens[c.Peer] = c.Token
		}
		for _, peer := range missing {
			token, err := lastToken(ctx, pass, peer)
			if err != nil {
				return err
			}
			if len(token) > 0 {
				tokens[peer] = token
			}
		}
		component.Objects = TokenSecrets(pass.Namespace(), tokens)
	}
	return pass.Apply(ctx, component)
}

// lastToken is the token of a peer that is in the member. Empty: there is none.
func lastToken(ctx context.Context, pass *member.Pass, peer string) ([]byte, error) {
	secret := &corev1.Secret{}
	name := mesh.ReaderTokensSecretName(mesh.ReaderTokensShard(peer))
	err := pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: name}, secret)
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
func (s *Steps) remoteSecret(ctx context.Context, pass *member.Pass, c Credential) (*unstructured.Unstructured, error) {
	memory := s.memory.Of(pass)
	key := client.ObjectKey{Namespace: pass.Namespace(), Name: RemoteSecretName(c.Peer)}
	wanted := c.identity
	if !c.isReadable {
		return nil, fmt.Errorf("the kubeconfig of peer %q cannot be read", c.Peer)
	}
	if last, ok := memory.settled[c.Peer]; ok && last.kubeconfig == wanted {
		meta := &metav1.PartialObjectMetadata{}
		meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := pass.Metadata().Get(ctx, key, meta); err == nil && meta.ResourceVersion == last.resourceVersion {
			return nil, nil
		}
	}
	live := &corev1.Secret{}
	err := pass.Remote.Get(ctx, key, live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %q: %w", key.Name, err)
	}
	have, readable := Identity(c.Peer, live.Data[c.Peer])
	switch {
	case apierrors.IsNotFound(err):
		return RemoteSecret(pass.Namespace(), c.Peer, c.Kubeconfig), nil
	case readable && have == wanted:
		if memory.settled == nil {
			memory.settled = map[string]settledSecret{}
		}
		memory.settled[c.Peer] = settledSecret{live.ResourceVersion, wanted}
		return RemoteSecret(pass.Namespace(), c.Peer, live.Data[c.Peer]), nil
	case !mesh.HasServed(pass.Object) || mesh.IsRestarting(pass.Object):
		log.FromContext(ctx).Info("Changing remote secret", "peer", c.Peer)
		return RemoteSecret(pass.Namespace(), c.Peer, c.Kubeconfig), nil
	}
	memory.changed = append(memory.changed, c.Peer)
	return nil, nil
}
