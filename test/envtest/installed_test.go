package envtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/build"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
)

func (s *suite) peersOf(name string, all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == name })
}

func (s *suite) meshStatus(t *testing.T) {
	inst, err := s.installation(t.Context())
	must(t, err)
	root := &corev1.Secret{}
	must(t, s.hub.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: meshName + "-root"}, root))
	fingerprints, err := trust.Fingerprints(root.Data["ca.crt"])
	must(t, err)
	certificates, err := trust.ParseCertificates(root.Data["ca.crt"])
	must(t, err)
	notAfter := metav1.NewTime(certificates[0].NotAfter.Local())
	want := meshv1alpha1.MeshInstallationStatus{
		ObservedGeneration: inst.Generation, OperatorVersion: build.Unreleased, Conditions: inst.Status.Conditions, EffectiveVersion: version,
		Revision:  revision,
		Revisions: []meshv1alpha1.RevisionMembers{{Name: revision, Version: version, Members: 2}},
		Members:   meshv1alpha1.MemberCounts{Total: 2, Ready: 2},
		Trust:     meshv1alpha1.TrustStatus{PinnedRoot: fingerprints, RootFingerprints: fingerprints, NotAfter: &notAfter},
		Hash:      inst.Status.Hash,
	}
	if inst.Status.Hash == "" {
		t.Error("nothing identifies what the mesh runs")
	}
	if diff := cmp.Diff(want, inst.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	types := conditionTypes(inst.Status.Conditions)
	wantTypes := []string{"Available", "ChartsReady", "ControlPlanesReady", "CredentialCurrent", "DiscoveryReady", "GatewaysReady", "HoldsCurrent", "HubSecretsProtected", "Ready", "ReleaseSupported", "TagsCurrent", "TrustRootCurrent", "TrustRootReady"}
	if diff := cmp.Diff(wantTypes, types); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func conditionTypes(conditions []metav1.Condition) []string {
	var types []string
	for _, c := range conditions {
		types = append(types, c.Type)
	}
	slices.Sort(types)
	return types
}

func (s *suite) memberStatus(t *testing.T, name string) {
	peer := s.peersOf(name, both)[0]
	await(t, name+" knows the gateway of "+peer, func(ctx context.Context) error {
		m, err := s.member(ctx, name)
		if err != nil {
			return err
		}
		if want := []meshv1alpha1.NetworkGateway{{Network: networkOf(peer), Address: addressOf(peer)}}; !slices.Equal(m.Status.Discovery.IstiodGateways, want) {
			return fmt.Errorf("gateways %v, want %v", m.Status.Discovery.IstiodGateways, want)
		} else if acknowledged := m.Status.Discovery.ProxyGateways; !slices.Equal(acknowledged, want) {
			return fmt.Errorf("acknowledged gateways %v, want %v", acknowledged, want)
		}
		return nil
	})
	m, err := s.member(t.Context(), name)
	must(t, err)
	inst, err := s.installation(t.Context())
	must(t, err)
	uid, err := s.members[name].uid(t.Context())
	must(t, err)
	origin, err := s.hub.uid(t.Context())
	must(t, err)
	got := m.Status
	now := time.Now()
	if got.Gateway.Announced == nil || now.Sub(got.Gateway.Announced.Time) > time.Hour {
		t.Errorf("announced: %v", got.Gateway.Announced)
	}
	if got.Trust.IntermediateNotAfter == nil || got.Trust.IntermediateNotAfter.Before(&metav1.Time{Time: now.Add(2000 * time.Hour)}) {
		t.Errorf("intermediate's end: %v, want about 90 days from now", got.Trust.IntermediateNotAfter)
	}
	if inForce := got.Trust.IntermediateInForceNotAfter; inForce == nil || !inForce.Equal(got.Trust.IntermediateNotAfter) {
		t.Errorf("istiod signs with an intermediate that ends at %v, issued was one that ends at %v", inForce, got.Trust.IntermediateNotAfter)
	}
	if got.Discovery.TokenExpires == nil || got.Discovery.TokenExpires.Time.Before(now.Add(time.Hour)) {
		t.Errorf("token's end: %v", got.Discovery.TokenExpires)
	}
	if expires := got.CredentialExpires; expires == nil || expires.Time.Before(now) || expires.Time.After(now.Add(tokenLife)) {
		t.Errorf("end of the operator's credential: %v, want within %s", expires, tokenLife)
	}
	if !meta.IsStatusConditionTrue(got.Conditions, meshv1alpha1.ConditionCredentialCurrent) {
		t.Errorf("the operator's credential: %s", describe(got.Conditions))
	}
	if got.KubernetesVersion == "" {
		t.Error("no Kubernetes version")
	}
	if got.Discovery.Marker == nil {
		t.Fatal("no marker")
	}
	other, err := s.member(t.Context(), peer)
	must(t, err)
	if marker := got.Discovery.Peers[0].Marker; other.Status.Discovery.Marker == nil || marker != other.Status.Discovery.Marker.Address {
		t.Errorf("the marker of %s is %v, %s has seen %q", peer, other.Status.Discovery.Marker, name, marker)
	}
	var kept []string
	for _, r := range got.Renderings {
		kept = append(kept, r.Component)
	}
	if diff := cmp.Diff([]string{"istiod-" + revision, "eastwest-" + revision}, kept); diff != "" {
		t.Errorf("renderings (-want +got):\n%s", diff)
	}
	got.Renderings = nil
	got.Discovery.Marker, got.Discovery.Peers[0].Marker = nil, ""
	got.Trust.IntermediateInForceNotAfter = nil
	got.Gateway.Announced, got.Trust.IntermediateNotAfter, got.Discovery.TokenExpires, got.CredentialExpires = nil, nil, nil, nil
	got.Discovery.IstiodGateways, got.Discovery.ProxyGateways = nil, nil // checked above
	want := meshv1alpha1.MeshMemberStatus{
		ObservedGeneration: m.Generation, Conditions: got.Conditions, ClusterUID: uid, Origin: origin, KubernetesVersion: got.KubernetesVersion, Proxies: new(int32(0)),
		Revisions: []meshv1alpha1.RevisionStatus{{Name: revision, Version: version, Hash: mesh.RevisionHash(m.Spec.Revisions[0]), ReadyReplicas: 1}},
		Gateway:   meshv1alpha1.GatewayStatus{Name: gatewayName, Revision: revision, Addresses: []string{addressOf(name)}},
		Trust:     meshv1alpha1.MemberTrustStatus{ClaimedRoot: &meshv1alpha1.ClaimedRoot{Fingerprints: inst.Status.Trust.PinnedRoot}, RootFingerprints: inst.Status.Trust.RootFingerprints},
		Discovery: meshv1alpha1.DiscoveryStatus{
			SyncedPeers: 1, Peers: []meshv1alpha1.PeerStatus{{Name: s.peersOf(name, both)[0], State: meshv1alpha1.PeerSynced}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	wantTypes := []string{"Available", "ControlPlanesReady", "CredentialCurrent", "DiscoveryReady", "GatewaysReady", "HubSecretsProtected", "Reachable", "Ready", "SidecarsRedirected", "SoleWriter", "TagsCurrent", "TrustRootReady", "WatchesSynced"}
	if diff := cmp.Diff(wantTypes, conditionTypes(got.Conditions)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// cacertsFirst takes the order from the audit log: an istiod that starts without cacerts makes a root of its own.
func cacertsFirst(t *testing.T, c *cluster) {
	secret, istiod := -1, -1
	for i, one := range c.calls(t, time.Time{}) {
		switch {
		case !one.changes():
		case secret < 0 && one.isAbout("secrets", "cacerts"):
			secret = i
		case istiod < 0 && one.isAbout("deployments", "istiod-"+revision):
			istiod = i
		}
	}
	if secret < 0 || istiod < 0 || secret > istiod {
		t.Errorf("the first write of cacerts is call %d, that of istiod call %d", secret, istiod)
	}
}

// readersFirst takes the order from the audit log: a token that may not read yet makes the istiods of peers wait.
func readersFirst(t *testing.T, c *cluster) {
	binding, token := -1, -1
	for i, one := range c.calls(t, time.Time{}) {
		switch {
		case !one.changes():
		case binding < 0 && one.isAbout("clusterrolebindings", "istio-reader-clusterrole-"+controlPlaneNamespace):
			binding = i
		case token < 0 && one.ObjectRef.Resource == "serviceaccounts" && one.ObjectRef.Subresource == "token":
			token = i
		}
	}
	if binding < 0 || token < 0 || binding > token {
		t.Errorf("the first write of the binding is call %d, the first token is requested by call %d", binding, token)
	}
}

func failsClosed(t *testing.T, c *cluster) {
	list := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	must(t, c.admin.List(t.Context(), list, client.MatchingLabels{meshv1alpha1.LabelInstallation: ownerLabel}))
	if len(list.Items) != 2 {
		t.Errorf("%d validating configurations, want those of the revision and of the default", len(list.Items))
	}
	for _, configuration := range list.Items {
		for _, w := range configuration.Webhooks {
			if *w.FailurePolicy != admissionregistrationv1.Fail || len(w.ClientConfig.CABundle) == 0 {
				t.Errorf("%s: failurePolicy %s, caBundle of %d bytes", w.Name, *w.FailurePolicy, len(w.ClientConfig.CABundle))
			}
		}
	}
	if c.network.reviews("Gateway") == 0 {
		t.Error("istiod was not asked about the Istio Gateway")
	}
}

func tags(t *testing.T, c *cluster) {
	for _, tag := range []string{"default", "prod"} {
		injectors := &admissionregistrationv1.MutatingWebhookConfigurationList{}
		must(t, c.admin.List(t.Context(), injectors, client.MatchingLabels{"istio.io/tag": tag}))
		if len(injectors.Items) != 1 || injectors.Items[0].Labels["istio.io/rev"] != revision {
			t.Errorf("tag %s: %d injectors, want one of revision %s", tag, len(injectors.Items), revision)
			continue
		}
		for _, w := range injectors.Items[0].Webhooks {
			service := &corev1.Service{}
			ref := w.ClientConfig.Service
			if err := c.admin.Get(t.Context(), client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, service); err != nil {
				t.Errorf("tag %s: webhook %s: %v", tag, w.Name, err)
			} else if service.Spec.Selector["istio.io/rev"] != revision {
				t.Errorf("tag %s: Service %s selects %v, want revision %s", tag, ref.Name, service.Spec.Selector, revision)
			}
			if len(w.ClientConfig.CABundle) == 0 {
				t.Errorf("tag %s: webhook %s has no caBundle", tag, w.Name)
			}
		}
	}
}

func remoteSecrets(t *testing.T, c *cluster, peers []string) {
	list := &corev1.SecretList{}
	must(t, c.admin.List(t.Context(), list, client.InNamespace(controlPlaneNamespace), client.MatchingLabels{"istio/multiCluster": "true"}))
	var got, want []string
	for i := range list.Items {
		secret := &list.Items[i]
		peer := secret.Annotations["networking.istio.io/cluster"]
		got = append(got, secret.Name)
		if state := c.syncPeer(t.Context(), peer, secret.Data[peer]); state != "synced" {
			t.Errorf("%s: the peer can not be read: %s", secret.Name, state)
		}
	}
	for _, p := range peers {
		want = append(want, "istio-remote-secret-"+p)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("remote secrets (-want +got):\n%s", diff)
	}
}

// inventories must list exactly what carries the mesh's label, because deletion goes by them.
func inventories(t *testing.T, c *cluster) {
	listed, components, err := c.inventories(t.Context())
	must(t, err)
	found, err := c.labelled(t.Context(), meshv1alpha1.LabelInstallation+"="+ownerLabel)
	must(t, err)
	if diff := cmp.Diff(found, listed, cmp.AllowUnexported(object{})); diff != "" {
		t.Errorf("inventories (-what exists +what they list):\n%s", diff)
	}
	want := []string{
		"base", "claim", "discovery-marker", "eastwest-" + revision, "gateway-listener", "istiod-" + revision, "reader", "reader-tokens",
		"remote-secrets", "tags", "trust",
	}
	if diff := cmp.Diff(want, components); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

// printerColumns reads what `kubectl get` shows.
func (s *suite) printerColumns(t *testing.T) {
	for kind, want := range map[string]map[string]any{
		"MeshInstallation": {
			"Name": meshName, "Version": version, "Running": version, "Members": int64(2), "Ready-Members": int64(2), "Ready": "True", "Reason": "Ready",
		},
		"MeshMember": {
			"Name": meshName + "-east", "Mesh": meshName, "Cluster": "east", "Revision": revision, "Gateway": addressOf("east"),
			"Peers": int64(1), "Ready": "True", "Reason": "Ready",
		},
	} {
		got := s.tableRow(t, kind, want["Name"].(string))
		for column, value := range want {
			if diff := cmp.Diff(value, got[column]); diff != "" {
				t.Errorf("%s, column %s (-want +got):\n%s", kind, column, diff)
			}
		}
	}
}

// tableRow asks for an object as a table, as kubectl does.
func (s *suite) tableRow(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	table := s.hub.table(t, meshv1alpha1.GroupVersion.WithKind(kind), operatorNamespace, name)
	columns, _, err := unstructured.NestedSlice(table, "columnDefinitions")
	must(t, err)
	rows, _, err := unstructured.NestedSlice(table, "rows")
	must(t, err)
	if len(rows) != 1 {
		t.Fatalf("%s %s: %d rows", kind, name, len(rows))
	}
	cells, _, err := unstructured.NestedSlice(rows[0].(map[string]any), "cells")
	must(t, err)
	out := map[string]any{}
	for i, column := range columns {
		out[column.(map[string]any)["name"].(string)] = cells[i]
	}
	return out
}
