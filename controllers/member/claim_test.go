package member

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const hubUID = "hub-uid"

// pass is one over the member east, whose cluster has the objects.
func pass(objects ...client.Object) *scope {
	return &scope{member: testutil.Member("east"), remote: fake.NewClientBuilder().WithObjects(objects...).Build(), now: testutil.Now}
}

func inControlPlane(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: testutil.ControlPlane}
}

func TestHoldsClaim(t *testing.T) {
	claim := func(hub, installation, member string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: inControlPlane(claimName), Data: map[string]string{"hub": hub, "installation": installation, "member": member}}
	}
	cases := map[string]struct {
		objects []client.Object
		want    bool
		wantErr error
	}{
		"nobody has claimed the cluster":           {},
		"this member has":                          {objects: []client.Object{claim(hubUID, "meshfleet-system/shop", "east")}, want: true},
		"another member of the mesh has":           {objects: []client.Object{claim(hubUID, "meshfleet-system/shop", "west")}, wantErr: errClaimed},
		"another mesh has":                         {objects: []client.Object{claim(hubUID, "meshfleet-system/other", "east")}, wantErr: errClaimed},
		"the mesh of that name on another hub has": {objects: []client.Object{claim("other-hub", "meshfleet-system/shop", "east")}, wantErr: errClaimed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{HubUID: hubUID}
			got, err := r.holdsClaim(t.Context(), pass(c.objects...))
			if got != c.want || !errors.Is(err, c.wantErr) {
				t.Errorf("holds the claim: %v, %v, want %v and %v", got, err, c.want, c.wantErr)
			}
		})
	}
}

func TestARefusedClaimIsToldInTheSameWords(t *testing.T) {
	r := &Reconciler{HubUID: hubUID}
	s := pass(&corev1.ConfigMap{ObjectMeta: inControlPlane(claimName), Data: map[string]string{"hub": "a", "installation": "b", "member": "c"}})
	_, first := r.holdsClaim(t.Context(), s)
	for range 20 {
		if _, err := r.holdsClaim(t.Context(), s); err.Error() != first.Error() {
			t.Fatalf("now %q, before %q", err, first)
		}
	}
}

func TestForeignControlPlane(t *testing.T) {
	istiod := func(namespace, owner string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "istiod", Namespace: namespace, Labels: map[string]string{
			"app": "istiod", meshv1alpha1.LabelInstallation: owner,
		}}}
	}
	cases := map[string]struct {
		objects []client.Object
		want    error
	}{
		"none":                     {},
		"our own":                  {objects: []client.Object{istiod(testutil.ControlPlane, "meshfleet-system.shop")}},
		"one made by hand":         {objects: []client.Object{istiod(testutil.ControlPlane, "")}, want: errForeign},
		"one in another namespace": {objects: []client.Object{istiod("istio-other", "")}, want: errForeign},
		"one of another mesh":      {objects: []client.Object{istiod("istio-other", "meshfleet-system.other")}, want: errForeign},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := (&Reconciler{}).foreignControlPlane(t.Context(), pass(c.objects...)); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestDuplicate(t *testing.T) {
	member := func(name, uid, cluster string, age time.Duration) *meshv1alpha1.MeshMember {
		return testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
			m.UID, m.Status.ClusterUID = types.UID(uid), cluster
			m.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-age))
		})
	}
	mine := member("east", "m", "cluster", time.Hour)
	cases := map[string]struct {
		other *meshv1alpha1.MeshMember
		want  phase.Kind
	}{
		"another cluster":                        {member("west", "a", "another", 2*time.Hour), phase.Done},
		"an older member is the cluster already": {member("west", "a", "cluster", 2*time.Hour), phase.Stalled},
		"a younger member must give way":         {member("west", "z", "cluster", time.Minute), phase.Done},
		"of the same age the first by UID stays": {member("west", "a", "cluster", time.Hour), phase.Stalled},
		"of the same age the last by UID goes":   {member("west", "z", "cluster", time.Hour), phase.Done},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{Client: testutil.HubClient(t, mine, c.other)}
			if got := r.duplicate(t.Context(), &scope{member: mine, now: testutil.Now}); got.Kind != c.want {
				t.Errorf("kind is %v (%s), want %v", got.Kind, got.Text(), c.want)
			}
		})
	}
}

func TestNamespaceLabelled(t *testing.T) {
	namespace := func(labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane, Labels: labels}}
	}
	terminating := namespace(nil)
	terminating.Finalizers, terminating.DeletionTimestamp = []string{"kubernetes"}, &metav1.Time{Time: testutil.Now}
	label := func(network string) map[string]string { return map[string]string{charts.NetworkLabel: network} }
	cases := map[string]struct {
		objects []client.Object
		network string
		want    map[string]string
		wantErr error
	}{
		"it is made with its label":          {network: "net-east", want: label("net-east")},
		"it gets its label":                  {objects: []client.Object{namespace(map[string]string{"a": "b"})}, network: "net-east", want: map[string]string{"a": "b", charts.NetworkLabel: "net-east"}},
		"it keeps its label":                 {objects: []client.Object{namespace(label("net-east"))}, network: "net-east", want: label("net-east")},
		"the label comes off":                {objects: []client.Object{namespace(map[string]string{"a": "b", charts.NetworkLabel: "net-east"})}, want: map[string]string{"a": "b"}},
		"it is not made to take a label off": {},
		"one that goes away is waited for":   {objects: []client.Object{terminating}, network: "net-east", wantErr: apply.ErrTerminating},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := pass(c.objects...)
			if err := (&Reconciler{}).namespaceLabelled(t.Context(), s, c.network); !errors.Is(err, c.wantErr) {
				t.Fatalf("error is %v, want %v", err, c.wantErr)
			}
			ns := &corev1.Namespace{}
			if err := s.remote.Get(t.Context(), client.ObjectKey{Name: testutil.ControlPlane}, ns); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, ns.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}
