package discovery

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// signer is an API server that grants tokens by its key and account, and accepts those of the present ones.
type signer struct {
	key      string
	account  types.UID
	now      time.Time
	granted  int
	reviews  int
	denies   bool
	reviewed error
}

func controlPlane() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}
}

func (s *signer) token() string { return s.key + " " + string(s.account) }

func (s *signer) client() client.Client {
	return interceptor.NewClient(fake.NewClientBuilder().WithObjects(controlPlane()).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if m, ok := o.(*metav1.PartialObjectMetadata); ok && m.Kind == "ServiceAccount" {
				m.Namespace, m.Name, m.UID = key.Namespace, key.Name, s.account
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
		SubResourceCreate: func(_ context.Context, _ client.Client, _ string, _, sub client.Object, _ ...client.SubResourceCreateOption) error {
			s.granted++
			sub.(*authenticationv1.TokenRequest).Status = authenticationv1.TokenRequestStatus{
				Token: s.token(), ExpirationTimestamp: metav1.NewTime(s.now.Add(defaultTokenLife)),
			}
			return nil
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			review, ok := o.(*authenticationv1.TokenReview)
			if !ok {
				return c.Create(ctx, o, opts...)
			}
			s.reviews++
			review.Status.Authenticated = !s.denies && review.Spec.Token == s.token()
			return s.reviewed
		},
	})
}

// readAt is a member at an API server, and its reader step at a time.
func readAt(t *testing.T, api *signer, peers int) (*meshv1alpha1.MeshMember, client.Client, func(time.Time) phase.Result) {
	t.Helper()
	m := testutil.Member("east")
	m.Spec.Peers = nil
	for range peers {
		m.Spec.Peers = append(m.Spec.Peers, meshv1alpha1.Peer{Name: "west", ReaderSecret: "shop-west-reader"})
	}
	hubClient := hub()
	s := &Steps{Hub: hubClient, State: func(types.NamespacedName) (fleet.State, bool) { return fleet.State{Server: server}, true }}
	passAt := membertest.Passes(t, m, api.client())
	return m, hubClient, func(now time.Time) phase.Result {
		api.now = now
		got := s.reader(t.Context(), passAt(now))
		if got.After <= 0 && api.reviewed == nil {
			t.Fatalf("result without a time for the next look: %+v", got)
		}
		return got
	}
}

// TestADeadTokenIsReplaced wants a token that the API server no longer accepts to be replaced within minutes, although its time is not up.
func TestADeadTokenIsReplaced(t *testing.T) {
	cases := map[string]func(*signer){
		"the account was deleted and made again": func(s *signer) { s.account = "account-2" },
		"the keys that sign tokens were rotated": func(s *signer) { s.key = "key-2" },
	}
	for name, kill := range cases {
		t.Run(name, func(t *testing.T) {
			api := &signer{key: "key-1", account: "account-1"}
			m, hubClient, read := readAt(t, api, 1)
			at := testutil.Now
			for range 10 {
				got := read(at)
				if got.Kind != phase.Done || got.After > proofPace {
					t.Fatalf("result is %+v", got)
				}
				at = at.Add(got.After)
			}
			if api.granted != 1 || m.Status.Discovery.Marker.TokenReplaced != nil {
				t.Fatalf("%d tokens before anything happened, marker %+v", api.granted, m.Status.Discovery.Marker)
			}
			kill(api)
			killed := at.Add(time.Second)
			for at = killed; api.granted < 2 && at.Sub(killed) < time.Hour; {
				at = at.Add(read(at).After)
			}
			if took := at.Sub(killed); api.granted != 2 || took > 2*proofPace {
				t.Errorf("%d tokens %s after the old one died", api.granted, took)
			}
			if got := string(stored(t, hubClient).Data[tokenKey]); got != api.token() {
				t.Errorf("peers get the token %q", got)
			}
			if m.Status.Discovery.Marker.TokenReplaced == nil {
				t.Error("peers are not told that they need time for the new token")
			}
			if got := read(at); got.Kind != phase.Done || api.granted != 2 {
				t.Errorf("then: %+v, %d tokens", got, api.granted)
			}
		})
	}
}

// TestATokenThatIsNeverAccepted wants no flood of tokens, and the cause in the result.
func TestATokenThatIsNeverAccepted(t *testing.T) {
	api := &signer{key: "key-1", account: "account-1", denies: true}
	_, _, read := readAt(t, api, 1)
	var got phase.Result
	for at := testutil.Now; at.Before(testutil.Now.Add(time.Hour)); at = at.Add(got.After) {
		got = read(at)
	}
	if got.Kind != phase.Wait || got.Reason != meshv1alpha1.ReasonReaderTokenRejected {
		t.Errorf("result is %+v", got)
	}
	if most := int(time.Hour/replaceGap) + 2; api.granted > most || api.reviews > 40 {
		t.Errorf("%d tokens and %d reviews within an hour, want at most %d", api.granted, api.reviews, most)
	}
}

func TestAnAPIServerThatDoesNotReview(t *testing.T) {
	api := &signer{key: "key-1", account: "account-1", reviewed: errors.New("no route")}
	_, _, read := readAt(t, api, 1)
	if got := read(testutil.Now); got.Kind != phase.Retry || api.granted != 1 {
		t.Errorf("result is %+v, %d tokens", got, api.granted)
	}
}

func TestNobodyReadsAMemberWithoutPeers(t *testing.T) {
	api := &signer{key: "key-1", account: "account-1"}
	m, _, read := readAt(t, api, 0)
	if got := read(testutil.Now); got.Kind != phase.Done || api.reviews != 0 || m.Status.Discovery.Marker != nil {
		t.Errorf("result is %+v, %d reviews, marker %+v", got, api.reviews, m.Status.Discovery.Marker)
	}
}

// TestMarkerChanges wants the marker to change every few minutes, in a large mesh less often, and never before.
func TestMarkerChanges(t *testing.T) {
	for peers, want := range map[int]time.Duration{1: markerInterval, 50: markerInterval, 200: 10 * time.Minute} {
		api := &signer{key: "key-1", account: "account-1"}
		m, _, read := readAt(t, api, peers)
		var got phase.Result
		seen := map[string]time.Time{}
		for at := testutil.Now; at.Before(testutil.Now.Add(2*want + time.Second)); at = at.Add(got.After) {
			if got = read(at); got.Kind != phase.Done {
				t.Fatalf("result is %+v", got)
			}
			marker := m.Status.Discovery.Marker
			if _, known := seen[marker.Address]; !known {
				seen[marker.Address] = at
			}
			if !marker.Since.Time.Equal(seen[marker.Address]) {
				t.Errorf("the marker of %s is said to be of %s", seen[marker.Address], marker.Since)
			}
		}
		if len(seen) != 3 {
			t.Errorf("%d peers: %d markers within twice %s, want 3", peers, len(seen), want)
		}
	}
}

func TestMarkerIsWritten(t *testing.T) {
	pass := membertest.Pass(t, testutil.Member("east", reading("west")), controlPlane())
	due, err := mark(t.Context(), pass, false)
	if err != nil || !due.Equal(testutil.Now.Add(markerInterval)) {
		t.Errorf("the next one is due at %s, %v", due, err)
	}
	slice, service := &discoveryv1.EndpointSlice{}, &corev1.Service{}
	key := client.ObjectKey{Namespace: testutil.ControlPlane, Name: mesh.DiscoveryMarkerName}
	testutil.Must(t, pass.Remote.Get(t.Context(), key, service))
	testutil.Must(t, pass.Remote.Get(t.Context(), key, slice))
	if got := slice.Endpoints[0].Addresses[0]; got != pass.Object.Status.Discovery.Marker.Address {
		t.Errorf("the endpoint is %s, the status has %+v", got, pass.Object.Status.Discovery.Marker)
	}
}
