package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	day     = 24 * time.Hour
	account = "system:serviceaccount:meshfleet-member:meshfleet-member"
)

// tokenOf is a token of a user that is valid from one time to another.
func tokenOf(user string, from, to time.Time) string {
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, from.Unix(), to.Unix())
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// withUser is a kubeconfig with a comment and another user.
func withUser(user string) []byte {
	return []byte(`# Made by hand.
apiVersion: v1
kind: Config
clusters: [{name: member, cluster: {server: "https://203.0.113.7:6443"}}]
contexts: [{name: member, context: {cluster: member, user: operator}}]
current-context: member
users:
- name: somebody-else
  user: {token: another}
- name: operator
  user:
` + user + "\n")
}

func withTokenOf(token string) []byte { return withUser("    token: " + token) }

// cluster is the API server of a member. It grants tokens that live as long as asked, or as its limit allows.
type cluster struct {
	t       *testing.T
	limit   time.Duration
	err     error
	now     time.Time
	granted int
	asked   time.Duration
	user    string
	proof   error
}

func (c *cluster) client() client.Client {
	return interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, subresource string, o, sub client.Object, _ ...client.SubResourceCreateOption) error {
			request, ok := sub.(*authenticationv1.TokenRequest)
			if !ok || subresource != "token" || o.GetNamespace()+"/"+o.GetName() != "meshfleet-member/meshfleet-member" {
				c.t.Errorf("asked for %s of %s/%s", subresource, o.GetNamespace(), o.GetName())
			}
			if c.err != nil {
				return c.err
			}
			c.granted++
			c.asked = time.Duration(*request.Spec.ExpirationSeconds) * time.Second
			expires := c.now.Add(min(c.asked, c.limit))
			request.Status = authenticationv1.TokenRequestStatus{Token: tokenOf(account, c.now, expires), ExpirationTimestamp: metav1.NewTime(expires)}
			return nil
		},
	})
}

// whoIs proves a token before it is written.
func (c *cluster) whoIs(_ context.Context, _ *rest.Config, token string) (string, error) {
	if !strings.HasPrefix(token, "eyJ") {
		c.t.Errorf("asked for the user of %q", token)
	}
	return c.user, c.proof
}

func stored(t *testing.T, hub client.Client) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	testutil.Must(t, hub.Get(t.Context(), client.ObjectKey{Namespace: testutil.Namespace, Name: "east-kubeconfig"}, s))
	return s
}

// renewing is a hub with the Secret of member east, and the passes over the member.
func renewing(t *testing.T, c *cluster, kubeconfig []byte, annotation string) (client.Client, *Renewer, func(time.Time) *member.Pass) {
	t.Helper()
	m := testutil.Member("east")
	m.Spec.ClusterRef = meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: "east-kubeconfig", Key: "value"}}
	hub := testutil.HubClient(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.Namespace, Name: "east-kubeconfig", Annotations: map[string]string{
			meshv1alpha1.AnnotationRenew: annotation, "team": "shop",
		}},
		Data: map[string][]byte{"value": kubeconfig, "note": []byte("keep me")},
	})
	return hub, &Renewer{Hub: hub, WhoIs: c.whoIs}, membertest.Passes(t, m, c.client())
}

func TestRenew(t *testing.T) {
	lasting := func(since, left time.Duration) []byte {
		return withTokenOf(tokenOf(account, testutil.Now.Add(-since), testutil.Now.Add(left)))
	}
	const year = 365 * day
	forbidden := apierrors.NewForbidden(corev1.Resource("serviceaccounts/token"), "meshfleet-member", nil)
	cases := map[string]struct {
		kubeconfig  []byte
		annotation  string
		limit       time.Duration
		err, proof  error
		user        string
		wantIgnored bool
		wantRenewed bool
		wantProblem string
	}{
		"a year, a third left":                      {kubeconfig: lasting(244*day, 121*day), wantRenewed: true},
		"a year, more than a third left":            {kubeconfig: lasting(243*day, 122*day)},
		"an API server that grants an hour":         {kubeconfig: lasting(40*time.Minute, 20*time.Minute), limit: time.Hour, wantRenewed: true},
		"an hour, not yet":                          {kubeconfig: lasting(39*time.Minute, 21*time.Minute), limit: time.Hour},
		"one that has ended is tried":               {kubeconfig: lasting(year, -time.Minute), wantRenewed: true},
		"nobody has asked for it":                   {kubeconfig: lasting(364*day, day), annotation: "-", wantIgnored: true},
		"it is switched off":                        {kubeconfig: lasting(364*day, day), annotation: "false", wantIgnored: true},
		"the account may not":                       {kubeconfig: lasting(364*day, day), err: forbidden, wantProblem: "apply config/member-rbac"},
		"the API server limits it since":            {kubeconfig: lasting(300*day, 65*day), limit: day, wantProblem: "not later than the present one"},
		"the new token is not accepted":             {kubeconfig: lasting(364*day, day), proof: errors.New("401"), wantProblem: "prove the new token: 401"},
		"the new token is another user's":           {kubeconfig: lasting(364*day, day), user: "system:serviceaccount:a:b", wantProblem: `takes the new token for user "system:serviceaccount:a:b"`},
		"a client certificate":                      {kubeconfig: withUser("    client-certificate-data: YQ==\n    client-key-data: YQ=="), wantProblem: errNoAccount.Error()},
		"a token of a person":                       {kubeconfig: withTokenOf(tokenOf("alice", testutil.Now.Add(-day), testutil.Now)), wantProblem: errNoAccount.Error()},
		"a token that does not contain its end":     {kubeconfig: withTokenOf("opaque"), wantProblem: errNoAccount.Error()},
		"what is no kubeconfig":                     {kubeconfig: []byte("{"), wantProblem: errNoAccount.Error()},
		"a token that is written in another form":   {kubeconfig: folded(lasting(364*day, day)), wantProblem: errNotInPlace.Error()},
		"a token in quotes, in a flow, with escape": {kubeconfig: bytes.Replace(lasting(364*day, day), []byte("token: eyJ"), []byte(`token: "\u0065yJ`), 1), wantProblem: errNoAccount.Error()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.annotation == "" {
				c.annotation = "true"
			}
			if c.limit == 0 {
				c.limit = 10 * year
			}
			if c.user == "" {
				c.user = account
			}
			api := &cluster{t: t, limit: c.limit, err: c.err, now: testutil.Now, user: c.user, proof: c.proof}
			hub, r, passAt := renewing(t, api, c.kubeconfig, c.annotation)
			before := stored(t, hub)
			got, err := r.Renew(t.Context(), passAt(testutil.Now))
			if err != nil {
				t.Fatal(err)
			}
			if got.IsAutomatic == c.wantIgnored || !strings.Contains(got.Problem, c.wantProblem) || (got.Problem == "") != (c.wantProblem == "") {
				t.Errorf("state is %+v, want the problem %q", got, c.wantProblem)
			}
			if strings.Contains(got.Problem, "eyJ") {
				t.Errorf("the problem contains a token: %s", got.Problem)
			}
			after := stored(t, hub)
			if isRenewed := after.ResourceVersion != before.ResourceVersion; isRenewed != c.wantRenewed {
				t.Fatalf("wrote the Secret: %v, want %v", isRenewed, c.wantRenewed)
			}
			if !c.wantRenewed {
				return
			}
			old, err := readToken(before.Data["value"])
			testutil.Must(t, err)
			renewed, err := readToken(after.Data["value"])
			testutil.Must(t, err)
			if !renewed.claims.NotAfter.After(old.claims.NotAfter) {
				t.Errorf("the new token ends at %s, the old one at %s", renewed.claims.NotAfter, old.claims.NotAfter)
			}
			// But for the token nothing has changed.
			after.Data["value"] = bytes.ReplaceAll(after.Data["value"], []byte(renewed.text), []byte(old.text))
			if !bytes.Equal(before.Data["value"], after.Data["value"]) || string(after.Data["note"]) != "keep me" || after.Annotations["team"] != "shop" {
				t.Errorf("something else has changed:\n%s", after.Data["value"])
			}
		})
	}
}

// TestRenewLeavesClusterAPIAlone wants the Cluster of a Secret of Cluster API to be reported, and the Secret never to be written, with and
// without the annotation.
func TestRenewLeavesClusterAPIAlone(t *testing.T) {
	due := withTokenOf(tokenOf(account, testutil.Now.Add(-14*time.Minute), testutil.Now.Add(time.Minute)))
	for annotation, wantProblem := range map[string]string{
		"true":  `Cluster API writes this Secret for Cluster "east"`,
		"false": "",
	} {
		api := &cluster{t: t, limit: time.Hour, now: testutil.Now, user: account}
		hub, r, passAt := renewing(t, api, due, annotation)
		s := stored(t, hub)
		testutil.Must(t, hub.Delete(t.Context(), s))
		s.ResourceVersion, s.Type, s.Labels = "", "cluster.x-k8s.io/secret", map[string]string{"cluster.x-k8s.io/cluster-name": "east"}
		testutil.Must(t, hub.Create(t.Context(), s))
		got, err := r.Renew(t.Context(), passAt(testutil.Now))
		if err != nil || got.Cluster != "east" || !strings.Contains(got.Problem, wantProblem) || (got.Problem == "") != (wantProblem == "") {
			t.Errorf("annotation %q: state is %+v, %v", annotation, got, err)
		}
		if api.granted != 0 {
			t.Errorf("annotation %q: %d tokens", annotation, api.granted)
		}
	}
}

// TestRenewWaitsForTheMember wants nothing to be renewed in a pass that has no connection.
func TestRenewWaitsForTheMember(t *testing.T) {
	api := &cluster{t: t, limit: time.Hour, now: testutil.Now, user: account}
	_, r, passAt := renewing(t, api, withTokenOf(tokenOf(account, testutil.Now.Add(-45*time.Minute), testutil.Now.Add(15*time.Minute))), "true")
	pass := passAt(testutil.Now)
	pass.Remote = nil
	if got, err := r.Renew(t.Context(), pass); err != nil || got != (State{}) || api.granted != 0 {
		t.Errorf("state is %+v, %v, %d tokens", got, err, api.granted)
	}
}

// folded writes the token of a kubeconfig over two lines, which YAML joins by a space in a plain text and by nothing in quotes.
func folded(kubeconfig []byte) []byte {
	return bytes.Replace(bytes.Replace(kubeconfig, []byte("token: eyJhbGci"), []byte("token: \"eyJhbGci\\\n      "), 1), []byte(".c2ln"), []byte(".c2ln\""), 1)
}

// TestRenewForADay lets a member live at an API server that grants an hour, and counts.
func TestRenewForADay(t *testing.T) {
	api := &cluster{t: t, limit: time.Hour, now: testutil.Now, user: account}
	hub, r, passAt := renewing(t, api, withTokenOf(tokenOf(account, testutil.Now, testutil.Now.Add(time.Hour))), "true")
	for range 24 * 60 / 2 {
		api.now = api.now.Add(2 * time.Minute)
		got, err := r.Renew(t.Context(), passAt(api.now))
		if err != nil || got.Problem != "" {
			t.Fatalf("after %s: %+v, %v", api.now.Sub(testutil.Now), got, err)
		}
		token, err := readToken(stored(t, hub).Data["value"])
		testutil.Must(t, err)
		if left := token.claims.NotAfter.Sub(api.now); left < 18*time.Minute {
			t.Fatalf("after %s only %s are left", api.now.Sub(testutil.Now), left)
		}
	}
	if want := 24 * 60 / 40; api.granted < want-1 || api.granted > want+1 {
		t.Errorf("%d tokens within a day, want about %d", api.granted, want)
	}
}

// TestRenewDoesNotFight wants another writer of the Secret to be named, and not to be written over again and again.
func TestRenewDoesNotFight(t *testing.T) {
	api := &cluster{t: t, limit: time.Hour, now: testutil.Now, user: account}
	theirs := withTokenOf(tokenOf(account, testutil.Now.Add(-45*time.Minute), testutil.Now.Add(15*time.Minute)))
	hub, r, passAt := renewing(t, api, theirs, "true")
	for minute := range 10 {
		api.now = testutil.Now.Add(time.Duration(minute) * time.Minute)
		got, err := r.Renew(t.Context(), passAt(api.now))
		if err != nil || (minute > 0) != strings.Contains(got.Problem, "another client has written the former token again") {
			t.Fatalf("minute %d: %+v, %v", minute, got, err)
		}
		s := stored(t, hub)
		s.Data["value"] = theirs
		testutil.Must(t, hub.Update(t.Context(), s))
	}
	if api.granted != 1 {
		t.Errorf("%d tokens, want 1", api.granted)
	}
}

// TestRenewWithAStaleCache wants no second token while the cache still has the Secret from before the renewal, and a failure to be tried
// again later, not in each pass.
func TestRenewWithAStaleCache(t *testing.T) {
	api := &cluster{t: t, limit: time.Hour, now: testutil.Now, user: account}
	hub, r, passAt := renewing(t, api, withTokenOf(tokenOf(account, testutil.Now.Add(-45*time.Minute), testutil.Now.Add(15*time.Minute))), "true")
	before := stored(t, hub)
	r.Hub = interceptor.NewClient(hub.(client.WithWatch), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			before.DeepCopyInto(o.(*corev1.Secret))
			return nil
		},
	})
	for range 3 {
		if got, err := r.Renew(t.Context(), passAt(testutil.Now)); err != nil || got.Problem != "" {
			t.Fatalf("state is %+v, %v", got, err)
		}
	}
	if api.granted != 1 {
		t.Errorf("%d tokens, want 1", api.granted)
	}

	api.proof, api.granted = errors.New("401"), 0
	_, r, passAt = renewing(t, api, withTokenOf(tokenOf(account, testutil.Now.Add(-45*time.Minute), testutil.Now.Add(15*time.Minute))), "true")
	for second := range 120 {
		if got, err := r.Renew(t.Context(), passAt(testutil.Now.Add(time.Duration(second)*time.Second))); err != nil || got.Problem == "" {
			t.Fatalf("state is %+v, %v", got, err)
		}
	}
	if api.granted != 2 {
		t.Errorf("%d tokens in 120 passes within two minutes, want 2", api.granted)
	}
}
