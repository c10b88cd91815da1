package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/discovery"
	"github.com/meshfleet/meshfleet/internal/gateway"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/xds"
)

const (
	remoteSecretsComponent = "remote-secrets"

	gatewayDeadline = 5 * time.Minute
	peersDeadline   = 3 * time.Minute
	istiodQuestion  = 5 * time.Second
)

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
// that is down keeps its last credential.
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
	if len(missing) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers,
			"no reader credential yet of "+strings.Join(missing, ", "), 0)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// gateway runs the east-west gateway and announces it once it has an address and its pods serve. Precondition: serve
// and rootInForce, because its pods get their proxy from the injector and mount the root that istiod has published: with
// the root of an earlier mesh they would wait a minute or more for kubelet to refresh it.
func (r *MeshMemberReconciler) gateway(ctx context.Context, s *scope) phase.Result {
	st, err := gateway.Observe(ctx, s.remote, s.namespace())
	if err != nil {
		return failed(err)
	}
	announce := st.CanAnnounce()
	component, err := gateway.Objects(r.Charts, &s.member.Spec, announce)
	if err != nil {
		return renderFailed(err)
	}
	if err := r.apply(ctx, s, component); err != nil {
		return failed(err)
	}
	s.member.Status.Gateway.Address = st.Address
	switch {
	case announce && s.member.Status.Gateway.Announced == nil:
		s.member.Status.Gateway.Announced = &metav1.Time{Time: s.now.Truncate(time.Second)}
	case !announce:
		s.member.Status.Gateway.Announced = nil
	}
	overdue := func(p phase.Result) phase.Result {
		return p.Overdue(st.ServiceCreated, s.now, gatewayDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	switch {
	case st.Address == "":
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForAddress, "Service "+plan.GatewayName+
			" has no load balancer address yet; "+st.Message, shortWait))
	case !st.Complete:
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, st.Message, shortWait))
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "the gateway serves at "+st.Address)
}

// verification remembers what was proved, so that istiod is not asked again for every event.
type verification struct {
	// inputs identify what the proof rests on: pods, Secrets and peers. Since is when they were first seen.
	inputs [sha256.Size]byte
	since  time.Time
	// at is when istiod was last asked, peers what it said.
	at    time.Time
	peers []meshv1alpha1.PeerStatus
}

// verifyPeers proves from every istiod pod of the member that it reads every peer.
func (r *MeshMemberReconciler) verifyPeers(ctx context.Context, s *scope) phase.Result {
	pods, err := r.istiodPods(ctx, s)
	if err != nil {
		return failed(err)
	}
	if len(pods) == 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "no istiod pod is ready", shortWait)
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := s.state.connection.Cluster.GetCache().List(ctx, secrets, client.InNamespace(s.namespace()),
		client.MatchingLabels{meshv1alpha1.LabelComponent: remoteSecretsComponent}); err != nil {
		return failed(err)
	}
	inputs := verificationInputs(s, pods, secrets.Items)
	v := &s.state.verified
	if v.inputs != inputs {
		*v = verification{inputs: inputs, since: s.now}
	}
	if s.now.Sub(v.at) >= reverify || !allSynced(v.peers) {
		peers, err := r.askPeers(ctx, s, pods)
		if err != nil {
			return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
		}
		v.at, v.peers = s.now, peers
	}
	return r.reportPeers(s, v)
}

func (r *MeshMemberReconciler) reportPeers(s *scope, v *verification) phase.Result {
	d := &s.member.Status.Discovery
	d.Peers = v.peers
	var behind []string
	for _, p := range v.peers {
		if p.State != synced {
			behind = append(behind, p.Name+" is "+p.State)
		}
	}
	d.Synced = fmt.Sprintf("%d/%d", len(v.peers)-len(behind), len(v.peers))
	if len(behind) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers, "istiod: "+strings.Join(behind, ", "), shortWait).
			Overdue(v.since, s.now, peersDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	metrics.SetDiscoveryVerified(s.key, v.at)
	result := phase.Complete(meshv1alpha1.ReasonReady, d.Synced+" peers synced")
	result.After = max(reverify-s.now.Sub(v.at), shortWait)
	return result
}

// States of a peer. The first is istiod's word for one whose caches are filled; the others are ours.
const (
	synced  = "synced"
	absent  = "missing"
	foreign = "read through a Secret that is not ours"
)

func allSynced(peers []meshv1alpha1.PeerStatus) bool {
	return !slices.ContainsFunc(peers, func(p meshv1alpha1.PeerStatus) bool { return p.State != synced })
}

// askPeers asks every istiod pod; a peer is as far as the pod that is least far.
func (r *MeshMemberReconciler) askPeers(ctx context.Context, s *scope, pods []corev1.Pod) ([]meshv1alpha1.PeerStatus, error) {
	var answers [][]xds.RemoteCluster
	for i := range pods {
		ask, cancel := context.WithTimeout(ctx, istiodQuestion)
		clusters, err := r.ListClusters(ask, s.state.connection.Config, pods[i].Namespace, pods[i].Name)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ask istiod pod %s for its clusters: %w", pods[i].Name, err)
		}
		answers = append(answers, clusters)
	}
	var peers []meshv1alpha1.PeerStatus
	for _, p := range s.member.Spec.Peers {
		state := synced
		for _, clusters := range answers {
			if st := peerState(clusters, p.Name, s.namespace()+"/"+discovery.RemoteSecretName(p.Name)); st != synced {
				state = st
			}
		}
		peers = append(peers, meshv1alpha1.PeerStatus{Name: p.Name, State: state})
	}
	return peers, nil
}

func peerState(clusters []xds.RemoteCluster, name, secret string) string {
	i := slices.IndexFunc(clusters, func(c xds.RemoteCluster) bool { return c.ID == name })
	switch {
	case i < 0:
		return absent
	case clusters[i].SecretName != secret:
		return foreign
	}
	return clusters[i].SyncStatus
}

func (r *MeshMemberReconciler) istiodPods(ctx context.Context, s *scope) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := s.remote.List(ctx, list, client.InNamespace(s.namespace()), client.MatchingLabels{"app": "istiod"}); err != nil {
		return nil, fmt.Errorf("list istiod pods: %w", err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		return !ready || p.DeletionTimestamp != nil
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// verificationInputs identify what a proof rests on.
func verificationInputs(s *scope, pods []corev1.Pod, secrets []metav1.PartialObjectMetadata) [sha256.Size]byte {
	var parts []string
	for i := range pods {
		parts = append(parts, "pod "+string(pods[i].UID))
	}
	for i := range secrets {
		parts = append(parts, "secret "+secrets[i].Name+" "+secrets[i].ResourceVersion)
	}
	for _, p := range s.member.Spec.Peers {
		parts = append(parts, "peer "+p.Name)
	}
	slices.Sort(parts)
	return sha256.Sum256([]byte(strings.Join(parts, "\n")))
}
