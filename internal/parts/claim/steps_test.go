package claim

import (
	stdcmp "cmp"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestAClaimOfAnotherHubIsNoAnswer keeps a new hub from a root of its own before members were told of it.
func TestAClaimOfAnotherHubIsNoAnswer(t *testing.T) {
	for installation, want := range map[string]*meshv1alpha1.ClaimedRoot{"meshfleet-system/shop": nil, "meshfleet-system/other": mesh.Claimed("")} {
		found := claimOf("former", installation, "east")
		found.Data[rootKey] = "a"
		s, pass := &Steps{HubUID: hubUID}, membertest.Pass(t, testutil.Member("east"), found)
		if got := s.identify(t.Context(), pass); got.Reason != meshv1alpha1.ReasonClusterClaimed {
			t.Errorf("%s: result is %+v, want ClusterClaimed", installation, got)
		}
		if diff := cmp.Diff(want, pass.Object.Status.Trust.ClaimedRoot); diff != "" {
			t.Errorf("%s: claimed root (-want +got):\n%s", installation, diff)
		}
	}
}

// TestIdentifyWritesNothing wants the root of a cluster to be told before anything is written there, whatever another step of the round
// has against the member: a new mesh has no root before every member has told its own.
func TestIdentifyWritesNothing(t *testing.T) {
	s := &Steps{HubUID: hubUID, Reconstruct: finds(nil, "", nil), PresentRoot: func(context.Context, *member.Pass) ([]string, bool, error) { return nil, false, nil }}
	if identify := s.Part().Steps[0]; identify.Name != "identify" || identify.Round != member.Vet {
		t.Errorf("the first step is %s of round %d, want identify of round Vet", identify.Name, identify.Round)
	}
	east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Status.KubernetesVersion = "v1.33.0" })
	pass := membertest.Pass(t, east)
	if got := s.identify(t.Context(), pass); got.Kind != phase.Done {
		t.Errorf("result %+v, want it done", got)
	}
	if got := east.Status.Trust.ClaimedRoot; got == nil || len(got.Fingerprints) > 0 {
		t.Errorf("claimed root is %v, want it known that there is none", got)
	}
	for _, list := range []client.ObjectList{&corev1.NamespaceList{}, &corev1.ConfigMapList{}} {
		testutil.Must(t, pass.Remote.List(t.Context(), list))
		if n := meta.LenList(list); n > 0 {
			t.Errorf("%T has %d objects, want none to be written", list, n)
		}
	}
	if got := s.claim(t.Context(), pass); got.Kind != phase.Done {
		t.Errorf("result of the claim %+v, want it done", got)
	}
	if holder, err := s.HeldBy(t.Context(), pass); holder != Own || err != nil {
		t.Errorf("after the claim the cluster is held by %v, %v", holder, err)
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
			if err := foreignControlPlane(t.Context(), membertest.Pass(t, testutil.Member("east"), c.objects...)); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestDuplicate(t *testing.T) {
	meshMember := func(name, uid, cluster string, age time.Duration) *meshv1alpha1.MeshMember {
		return testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
			m.UID, m.Status.ClusterUID = types.UID(uid), cluster
			m.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-age))
		})
	}
	mine := meshMember("east", "m", "cluster", time.Hour)
	cases := map[string]struct {
		other *meshv1alpha1.MeshMember
		want  phase.Kind
	}{
		"another cluster":                        {meshMember("west", "a", "another", 2*time.Hour), phase.Done},
		"an older member is the cluster already": {meshMember("west", "a", "cluster", 2*time.Hour), phase.Stalled},
		"a younger member must give way":         {meshMember("west", "z", "cluster", time.Minute), phase.Done},
		"of the same age the first by UID stays": {meshMember("west", "a", "cluster", time.Hour), phase.Stalled},
		"of the same age the last by UID goes":   {meshMember("west", "z", "cluster", time.Hour), phase.Done},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Object: mine, Now: testutil.Now, Hub: testutil.HubClient(t, mine, c.other)}
			if got := duplicate(t.Context(), pass); got.Kind != c.want {
				t.Errorf("kind is %v (%s), want %v", got.Kind, got.Text(), c.want)
			}
		})
	}
}

func TestLabelNamespace(t *testing.T) {
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
			pass := membertest.Pass(t, testutil.Member("east"), c.objects...)
			if err := labelNamespace(t.Context(), pass, c.network); !errors.Is(err, c.wantErr) {
				t.Fatalf("error is %v, want %v", err, c.wantErr)
			}
			ns := &corev1.Namespace{}
			if err := pass.Remote.Get(t.Context(), client.ObjectKey{Name: testutil.ControlPlane}, ns); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, ns.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAReleaseThatIsNotKnown stops a member that has nothing yet, and lets one go on that serves: an upgrade is its way out.
func TestAReleaseThatIsNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		status     meshv1alpha1.MeshMemberStatus
		kubernetes string
		want       string
	}{
		"has never served":            {want: meshv1alpha1.ReasonVersionUnsupported},
		"serves":                      {status: meshv1alpha1.MeshMemberStatus{Revisions: []meshv1alpha1.RevisionStatus{{Name: "1-27-9", ReadyReplicas: 1}}}},
		"has served, and is down now": {status: meshv1alpha1.MeshMemberStatus{Trust: meshv1alpha1.MemberTrustStatus{RootFingerprints: []string{"a"}}}},
		"serves, and the cluster is too old for what it is upgraded to": {
			status:     meshv1alpha1.MeshMemberStatus{Revisions: []meshv1alpha1.RevisionStatus{{Name: "1-27-9", ReadyReplicas: 1}}},
			kubernetes: "v1.20.0", want: meshv1alpha1.ReasonVersionUnsupported,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
				m.Status = c.status
				m.Status.KubernetesVersion = stdcmp.Or(c.kubernetes, "v1.33.0")
				m.Spec.Revisions = append([]meshv1alpha1.Revision{{Name: "1-27-9", Version: "1.27.9"}}, m.Spec.Revisions...)
			})
			s := &Steps{
				HubUID: hubUID, PresentRoot: func(context.Context, *member.Pass) ([]string, bool, error) { return nil, false, nil },
				Reconstruct: func(context.Context, *member.Pass) (*meshv1alpha1.OrderInForce, string, error) { return nil, "", nil },
			}
			got := s.identify(t.Context(), membertest.Pass(t, m))
			if isDone := got.Kind == phase.Done; isDone != (c.want == "") || !isDone && got.Reason != c.want {
				t.Errorf("result is %+v, want %q", got, c.want)
			}
		})
	}
}
