package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	readerSecret = "shop-east-reader"
	token        = "a-very-secret-token"
	server       = "https://203.0.113.7:6443"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// account is the reader account of a member. It grants tokens of a life of its own choice.
type account struct {
	life   time.Duration
	uid    types.UID
	err    error
	minted int
	asked  *authenticationv1.TokenRequest
}

// member is the client of a member cluster whose time is now.
func (a *account) member(now time.Time) client.Client {
	b := fake.NewClientBuilder()
	if a.uid != "" {
		b = b.WithObjects(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: readerAccount, Namespace: testutil.ControlPlane, UID: a.uid}})
	}
	return interceptor.NewClient(b.Build(), interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, subresource string, o, sub client.Object, _ ...client.SubResourceCreateOption) error {
			if a.err != nil {
				return a.err
			}
			request, ok := sub.(*authenticationv1.TokenRequest)
			if !ok || subresource != "token" || o.GetName() != readerAccount || o.GetNamespace() != testutil.ControlPlane {
				return errors.New("asked for something else than a token of the reader account")
			}
			a.minted++
			a.asked = request.DeepCopy()
			request.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(now.Add(a.life))}
			return nil
		},
	})
}

func newAccount() *account { return &account{life: defaultTokenLife, uid: "account-1"} }

func request() ReaderRequest {
	m := testutil.Member("east")
	m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(testutil.Installation(), meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
	return ReaderRequest{Member: m, SecretName: readerSecret, Endpoint: endpoint(server, "the CA")}
}

func endpoint(server, ca string) Endpoint { return Endpoint{Server: server, CA: []byte(ca)} }

func hub(objects ...client.Object) client.Client {
	return fake.NewClientBuilder().WithObjects(objects...).Build()
}

func stored(t *testing.T, c client.Client) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: testutil.Namespace, Name: readerSecret}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEnsureReaderMintsWhenThereIsNone(t *testing.T) {
	a, c := newAccount(), hub()
	got, err := EnsureReader(t.Context(), c, a.member(start), request(), start)
	if err != nil {
		t.Fatal(err)
	}
	want := Reader{
		Expires: start.Add(defaultTokenLife), RenewAt: start.Add(defaultTokenLife/2 + jitter("east", defaultTokenLife/10)), Minted: true, Token: token,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reader (-want +got):\n%s", diff)
	}
	if seconds := *a.asked.Spec.ExpirationSeconds; seconds != int64(defaultTokenLife.Seconds()) {
		t.Errorf("asked for %d seconds", seconds)
	}
	s := stored(t, c)
	if s.Labels[meshv1alpha1.LabelInstallation] != testutil.Mesh || s.Labels[meshv1alpha1.LabelMember] != "east" {
		t.Errorf("labels are %v", s.Labels)
	}
	if owner := metav1.GetControllerOf(s); owner == nil || owner.Kind != "MeshInstallation" {
		t.Errorf("the Secret does not go with the installation: %v", s.OwnerReferences)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(s.Data[kubeconfigKey])
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != server || config.BearerToken != "" || string(config.CAData) != "the CA" || string(s.Data[tokenKey]) != token {
		t.Errorf("the kubeconfig leads to %q with CA %q", config.Host, config.CAData)
	}
}

func TestEnsureReaderKeepsAndRenews(t *testing.T) {
	spoil := func(s *corev1.Secret) { s.Data[kubeconfigKey] = nil }
	undated := func(s *corev1.Secret) { delete(s.Annotations, expiryAnnotation) }
	unrenewed := func(s *corev1.Secret) { s.Annotations[renewAnnotation] = "soon" }
	cases := map[string]struct {
		after      time.Duration
		life       time.Duration
		change     func(*ReaderRequest)
		account    types.UID
		damage     func(*corev1.Secret)
		wantMinted bool
		wantDead   bool
	}{
		"a token that the API server rejects is replaced":        {change: func(r *ReaderRequest) { r.Rejected = token }, wantMinted: true, wantDead: true},
		"the rejection of another one does not matter":           {change: func(r *ReaderRequest) { r.Rejected = "another" }},
		"a fresh token is kept":                                  {after: time.Hour},
		"it is kept until half of its life":                      {after: defaultTokenLife/2 - time.Second},
		"it is renewed at 60 per cent of its life at the latest": {after: defaultTokenLife * 6 / 10, wantMinted: true},
		"a token that was granted for less is renewed by that":   {after: 37 * time.Minute, life: time.Hour, wantMinted: true},
		"an account that was made again renews it":               {account: "account-2", wantMinted: true, wantDead: true},
		"a Secret of the former form is filled":                  {damage: func(s *corev1.Secret) { delete(s.Data, tokenKey) }, wantMinted: true},
		"another server renews it":                               {change: func(r *ReaderRequest) { r.Server = "https://198.51.100.1" }, wantMinted: true},
		"another name in the certificate renews it":              {change: func(r *ReaderRequest) { r.ServerName = "kubernetes" }, wantMinted: true},
		"another CA renews it":                                   {change: func(r *ReaderRequest) { r.CA = []byte("another CA") }, wantMinted: true},
		"a Secret that was emptied is filled":                    {damage: spoil, wantMinted: true},
		"a Secret without its end is filled":                     {damage: undated, wantMinted: true},
		"a Secret with a date that is none is filled":            {damage: unrenewed, wantMinted: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, h, r := newAccount(), hub(), request()
			if c.life != 0 {
				a.life = c.life
			}
			if _, err := EnsureReader(t.Context(), h, a.member(start), r, start); err != nil {
				t.Fatal(err)
			}
			if c.damage != nil {
				s := stored(t, h)
				c.damage(s)
				if err := h.Update(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.change(&r)
			}
			if c.account != "" {
				a.uid = c.account
			}
			before, now := stored(t, h), start.Add(c.after)
			got, err := EnsureReader(t.Context(), h, a.member(now), r, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Replaced != c.wantDead {
				t.Errorf("replaced a token that is not accepted: %v, want %v", got.Replaced, c.wantDead)
			}
			if got.Minted != c.wantMinted || (a.minted == 2) != c.wantMinted {
				t.Errorf("minted: %v (%d tokens), want %v", got.Minted, a.minted, c.wantMinted)
			}
			if wrote := stored(t, h).ResourceVersion != before.ResourceVersion; wrote != c.wantMinted {
				t.Errorf("wrote the Secret: %v, want %v", wrote, c.wantMinted)
			}
			if got.RenewAt.Before(now) || got.RenewAt.After(got.Expires) {
				t.Errorf("at %v the next renewal is %v, the end %v", now, got.RenewAt, got.Expires)
			}
		})
	}
}

func TestEnsureReaderErrors(t *testing.T) {
	notFound := apierrors.NewNotFound(corev1.Resource("serviceaccounts"), readerAccount)
	forbidden := apierrors.NewForbidden(corev1.Resource("serviceaccounts/token"), readerAccount, nil)
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: testutil.Namespace, Name: readerSecret}, Data: map[string][]byte{"value": []byte("theirs")}}
	cases := map[string]struct {
		err  error
		hub  client.Client
		want error
	}{
		"the account goes meanwhile":               {err: notFound, hub: hub(), want: ErrNoReader},
		"the credential may not mint":              {err: forbidden, hub: hub(), want: forbidden},
		"a Secret of that name is somebody else's": {hub: hub(theirs), want: apply.ErrConflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := newAccount()
			a.err = c.err
			if _, err := EnsureReader(t.Context(), c.hub, a.member(start), request(), start); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestEnsureReaderTellsNoSecret(t *testing.T) {
	broken := errors.New("the API server says no")
	refuse := func(verb string) client.Client {
		return interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if verb == "get" {
					return broken
				}
				return c.Get(ctx, key, o, opts...)
			},
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return broken },
		})
	}
	for _, verb := range []string{"get", "create"} {
		t.Run(verb, func(t *testing.T) {
			_, err := EnsureReader(t.Context(), refuse(verb), newAccount().member(start), request(), start)
			if !errors.Is(err, broken) {
				t.Fatalf("error is %v, want that of the API server", err)
			}
			for _, secret := range []string{token, "the CA", "token:"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has %q: %v", secret, err)
				}
			}
		})
	}
}

func TestEnsureReaderBeforeTheBaseChart(t *testing.T) {
	a := newAccount()
	a.uid = ""
	if _, err := EnsureReader(t.Context(), hub(), a.member(start), request(), start); !errors.Is(err, ErrNoReader) {
		t.Errorf("error is %v, want ErrNoReader", err)
	}
}

func TestEnsureReaderAsksForTheWantedLife(t *testing.T) {
	a, r := newAccount(), request()
	r.Member.Spec.ReaderTokenDuration = &metav1.Duration{Duration: 10 * time.Minute}
	if _, err := EnsureReader(t.Context(), hub(), a.member(start), r, start); err != nil {
		t.Fatal(err)
	}
	if got := *a.asked.Spec.ExpirationSeconds; got != 600 {
		t.Errorf("asked for %d seconds, want 600", got)
	}
}

func TestTokensOfAFleetAreNotRenewedTogether(t *testing.T) {
	due := map[time.Duration]int{}
	for i := range 100 {
		due[jitter(fmt.Sprintf("cluster-%d", i), defaultTokenLife/10).Truncate(time.Hour)]++
	}
	for at, members := range due {
		if members > 20 {
			t.Errorf("%d of 100 tokens are renewed within an hour, %v after half of their life", members, at)
		}
	}
}

func TestEndpointOf(t *testing.T) {
	st := fleet.State{Server: "https://10.0.0.1:6443", CAData: []byte("the CA")}
	named := st
	named.ServerName = "kubernetes"
	cases := map[string]struct {
		state     fleet.State
		apiServer string
		ca        string
		want      Endpoint
	}{
		"that of the connection":                             {st, "", "", endpoint("https://10.0.0.1:6443", "the CA")},
		"with the name in its certificate":                   {named, "", "", Endpoint{"https://10.0.0.1:6443", "kubernetes", []byte("the CA")}},
		"the same server, named":                             {named, "https://10.0.0.1:6443", "", Endpoint{"https://10.0.0.1:6443", "kubernetes", []byte("the CA")}},
		"another server, whose name is its host":             {named, server, "", endpoint(server, "the CA")},
		"another server of another authority":                {named, server, "another CA", endpoint(server, "another CA")},
		"the server of the connection, by another authority": {st, "https://10.0.0.1:6443", "another CA", endpoint("https://10.0.0.1:6443", "another CA")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Spec.APIServer, m.Spec.APIServerCA = c.apiServer, c.ca
			if diff := cmp.Diff(c.want, endpointOf(&m.Spec, c.state)); diff != "" {
				t.Errorf("endpoint (-want +got):\n%s", diff)
			}
		})
	}
}
