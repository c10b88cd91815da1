package discovery

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func reading(peers ...string) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) {
		m.Spec.ReaderTokens = meshv1alpha1.ReaderTokensFile
		for _, p := range peers {
			m.Spec.Peers = append(m.Spec.Peers, meshv1alpha1.Peer{Name: p, ReaderSecret: "shop-" + p + "-reader"})
		}
	}
}

// onHub is the Secret on the hub by which a peer is read.
func onHub(t *testing.T, peer, server, token string) *corev1.Secret {
	t.Helper()
	raw, err := kubeconfig(peer, endpoint(server, "the CA"), clientcmdapi.AuthInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.Namespace, Name: "shop-" + peer + "-reader"},
		Data:       map[string][]byte{kubeconfigKey: raw, tokenKey: []byte(token)},
	}
}

func TestCredentials(t *testing.T) {
	empty := onHub(t, "empty", server, "")
	old := onHub(t, "old", server, "t")
	delete(old.Data, tokenKey)
	h := hub(onHub(t, "west", server, token), empty, old)
	got, missing, err := (&credentials{}).read(t.Context(), h, testutil.Member("east", reading("west", "empty", "north", "old")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"empty", "north", "old"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if len(got) != 1 || got[0].Peer != "west" || string(got[0].Token) != token {
		t.Fatalf("credentials are of %d peers", len(got))
	}
	config, err := clientcmd.Load(got[0].Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	user := config.AuthInfos["west"]
	if user.TokenFile != "/var/run/secrets/meshfleet/readers/west" || user.Token != token {
		t.Errorf("the token comes from the file %q", user.TokenFile)
	}
}

func TestCredentialsInline(t *testing.T) {
	m := testutil.Member("east", reading("west"))
	m.Spec.ReaderTokens = ""
	got, _, err := (&credentials{}).read(t.Context(), hub(onHub(t, "west", server, token)), m)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(got[0].Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if user := config.AuthInfos["west"]; user.TokenFile != "" || user.Token != token {
		t.Errorf("istiod of a member that was not restarted yet refuses the file %q", user.TokenFile)
	}
}

// TestBytesOfRemoteSecrets pins the bytes: istiod 1.28 and 1.29 stop reading a peer for good when those of its remote secret change.
func TestBytesOfRemoteSecrets(t *testing.T) {
	const want = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: dGhlIENB
    server: https://203.0.113.7:6443
  name: west
contexts:
- context:
    cluster: west
    user: west
  name: west
current-context: west
kind: Config
users:
- name: west
  user:
    token: a-very-secret-token
    tokenFile: /var/run/secrets/meshfleet/readers/west
`
	named := func(s *corev1.Secret) {
		raw, err := kubeconfig("west", Endpoint{server, "kubernetes", []byte("the CA")}, clientcmdapi.AuthInfo{})
		if err != nil {
			t.Fatal(err)
		}
		s.Data[kubeconfigKey] = raw
	}
	cases := map[string]struct {
		change func(*corev1.Secret)
		tokens meshv1alpha1.ReaderTokens
		want   string
	}{
		"a file": {tokens: meshv1alpha1.ReaderTokensFile, want: want},
		"inline": {tokens: meshv1alpha1.ReaderTokensInline, want: strings.Replace(want, "    tokenFile: /var/run/secrets/meshfleet/readers/west\n", "", 1)},
		"with another name in the certificate": {
			change: named, tokens: meshv1alpha1.ReaderTokensFile, want: strings.Replace(want, ":6443\n", ":6443\n    tls-server-name: kubernetes\n", 1),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, secret := testutil.Member("east", reading("west")), onHub(t, "west", server, token)
			m.Spec.ReaderTokens = c.tokens
			if c.change != nil {
				c.change(secret)
			}
			got, _, err := (&credentials{}).read(t.Context(), hub(secret), m)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got[0].Kubeconfig)); diff != "" {
				t.Errorf("remote secret (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBytesOfTheReader pins what is kept on the hub of a member whose kubeconfig has neither tls-server-name nor proxy-url.
func TestBytesOfTheReader(t *testing.T) {
	const want = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: dGhlIENB
    server: https://203.0.113.7:6443
  name: east
contexts:
- context:
    cluster: east
    user: east
  name: east
current-context: east
kind: Config
users:
- name: east
  user: {}
`
	h := hub()
	if _, err := EnsureReader(t.Context(), h, newAccount().member(start), request(), start); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(stored(t, h).Data[kubeconfigKey])); diff != "" {
		t.Errorf("kubeconfig (-want +got):\n%s", diff)
	}
}

func TestCredentialsErrors(t *testing.T) {
	broken := errors.New("the API server says no")
	h := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return broken
		},
	})
	if _, _, err := (&credentials{}).read(t.Context(), h, testutil.Member("east", reading("west"))); !errors.Is(err, broken) {
		t.Errorf("error is %v, want that of the API server", err)
	}
	damaged := onHub(t, "west", server, token)
	damaged.Data[kubeconfigKey] = []byte("token: " + token)
	_, _, err := (&credentials{}).read(t.Context(), hub(damaged), testutil.Member("east", reading("west")))
	if err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("error is %v, want one without the token", err)
	}
}

// What does not change here never stops istiod's discovery of a peer.
func TestIdentity(t *testing.T) {
	of := func(server, ca string, user clientcmdapi.AuthInfo) []byte {
		raw, err := kubeconfig("west", endpoint(server, ca), user)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	file := clientcmdapi.AuthInfo{Token: "a", TokenFile: "/west"}
	base := of(server, "the CA", file)
	cases := map[string]struct {
		kubeconfig []byte
		wantSame   bool
	}{
		"another token":                          {of(server, "the CA", clientcmdapi.AuthInfo{Token: "b", TokenFile: "/west"}), true},
		"another server":                         {of("https://198.51.100.1", "the CA", file), false},
		"another CA":                             {of(server, "another", file), false},
		"a token inline":                         {of(server, "the CA", clientcmdapi.AuthInfo{Token: "a"}), false},
		"something that cannot be read":          {[]byte("{"), false},
		"the kubeconfig of another cluster":      {[]byte(strings.ReplaceAll(string(base), "west", "south")), false},
		"the same, written with another spacing": {append([]byte("# by hand\n"), base...), true},
	}
	want, ok := Identity("west", base)
	if !ok {
		t.Fatal("its own kubeconfig cannot be read")
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := Identity("west", c.kubeconfig)
			if same := ok && got == want; same != c.wantSame {
				t.Errorf("same: %v, want %v", same, c.wantSame)
			}
		})
	}
}

func TestRemoteSecret(t *testing.T) {
	// The label, the annotation and the key of the data are what istiod reads.
	want := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{
			"name": "istio-remote-secret-west", "namespace": "istio-system",
			"labels":      map[string]any{"istio/multiCluster": "true"},
			"annotations": map[string]any{"networking.istio.io/cluster": "west"},
		},
		"data": map[string]any{"west": base64.StdEncoding.EncodeToString([]byte("kubeconfig of west"))},
	}
	o := RemoteSecret("istio-system", "west", []byte("kubeconfig of west"))
	if diff := cmp.Diff(want, o.Object); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
	ref := RemoteSecretReference("istio-system", "west")
	if ref.GroupVersionKind() != o.GroupVersionKind() || ref.Namespace != o.GetNamespace() || ref.Name != o.GetName() {
		t.Errorf("reference %+v does not name it", ref)
	}
}

// A Secret holds 1 MiB; tokens have about 1.2 KiB.
func TestTokenSecretsHoldAThousandPeers(t *testing.T) {
	tokens := map[string][]byte{}
	for i := range 999 {
		tokens[fmt.Sprintf("cluster-%d", i)] = []byte(strings.Repeat("t", 1300))
	}
	count := 0
	for _, o := range TokenSecrets("istio-system", tokens) {
		size := 0
		for key, value := range o.Object["data"].(map[string]any) {
			raw, err := base64.StdEncoding.DecodeString(value.(string))
			if err != nil || string(raw) != string(tokens[key]) {
				t.Fatalf("the token of %s is another", key)
			}
			size += len(raw) + len(key)
			count++
		}
		if size > 1<<20 {
			t.Errorf("Secret %s has %d bytes", o.GetName(), size)
		}
	}
	if count != len(tokens) {
		t.Errorf("%d of %d tokens are in the Secrets", count, len(tokens))
	}
	if got := TokenSecrets("istio-system", nil); len(got) > 0 {
		t.Errorf("a member without peers has %d Secrets", len(got))
	}
}

// The names must be those of the cluster: istiod takes the current context, and people read the rest.
func TestKubeconfigHasOneOfEach(t *testing.T) {
	raw, err := kubeconfig("east", endpoint(server, "the CA"), clientcmdapi.AuthInfo{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "east",
		"clusters": []any{map[string]any{"name": "east", "cluster": map[string]any{
			"server": server, "certificate-authority-data": base64.StdEncoding.EncodeToString([]byte("the CA")),
		}}},
		"users":    []any{map[string]any{"name": "east", "user": map[string]any{"token": token}}},
		"contexts": []any{map[string]any{"name": "east", "context": map[string]any{"cluster": "east", "user": "east"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kubeconfig (-want +got):\n%s", diff)
	}
}

func TestMarkerAddressChangesAndReachesNothing(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		a := markerAddress(start.Add(time.Duration(i) * time.Second))
		var b [4]int
		if n, err := fmt.Sscanf(a, "%d.%d.%d.%d", &b[0], &b[1], &b[2], &b[3]); n != 4 || err != nil || b[0] < 240 || b[0] > 254 {
			t.Fatalf("%s is not in 240.0.0.0/4", a)
		}
		seen[a] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 tokens give %d markers", len(seen))
	}
}
