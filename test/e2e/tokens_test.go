//go:build e2e

package e2e

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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/test/harness"
)

// freshDeadline covers what is new in a peer until it is served everywhere.
const freshDeadline = 30 * time.Second

// tokensRenewed renews the reader tokens of all members under load. No remote secret changes, no istiod restarts, and a Service that
// is made afterwards in any member answers in every other.
func (s *suite) tokensRenewed(t *testing.T) {
	s.renewals(t, 3, loadPerSecond, nil)
}

// renewals renews all tokens a number of times, with something in between.
func (s *suite) renewals(t *testing.T, times, perSecond int, between func(ctx context.Context, round int) error) {
	ctx := t.Context()
	before := s.remoteSecretVersions(t)
	s.underLoad(t, s.env.Members(), perSecond, func() error {
		for i := range times {
			if err := s.renewTokens(ctx); err != nil {
				return err
			}
			if between != nil {
				if err := between(ctx, i); err != nil {
					return err
				}
			}
			if err := s.freshServices(ctx, fmt.Sprintf("renewed-%d", i)); err != nil {
				return fmt.Errorf("after renewal %d: %w", i+1, err)
			}
		}
		return s.waitReady(ctx)
	})
	for name, version := range s.remoteSecretVersions(t) {
		if before[name] != version {
			t.Errorf("remote secret %s was written: istiod of 1.29 and older stops reading the peer", name)
		}
	}
}

// renewTokens takes all reader credentials off the hub, which has the effect of a renewal, and waits until every peer has the new token.
func (s *suite) renewTokens(ctx context.Context) error {
	former := map[string]string{}
	for _, m := range s.env.Members() {
		token, err := s.tokenIn(ctx, m)
		if err != nil {
			return err
		}
		former[m] = token
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: mesh.ReaderSecretName(harness.MeshName, m)}}
		if err := s.env.Hub.Client.Delete(ctx, secret); err != nil {
			return err
		}
	}
	return harness.Await(ctx, "every member has the new tokens of its peers", time.Minute, func(ctx context.Context) (bool, string, error) {
		for _, m := range s.env.Members() {
			token, err := s.tokenIn(ctx, m)
			if err != nil || token == former[m] {
				return false, "the token of " + m + " is the former one", err
			}
		}
		return true, "", nil
	})
}

// tokenIn is the token of a member as the first of its peers has it.
func (s *suite) tokenIn(ctx context.Context, member string) (string, error) {
	for _, peer := range s.env.Members() {
		if peer == member {
			continue
		}
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: istioSystem, Name: mesh.ReaderTokensSecretName(mesh.ReaderTokensShard(member))}
		if err := s.env.Cluster(peer).Client.Get(ctx, key, secret); err != nil {
			return "", err
		}
		return string(secret.Data[member]), nil
	}
	return "", errors.New("a mesh of one member has no tokens")
}

// remoteSecretVersions are the resource versions of all remote secrets.
func (s *suite) remoteSecretVersions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, m := range s.env.Members() {
		list := &corev1.SecretList{}
		if err := s.env.Cluster(m).Client.List(t.Context(), list, client.InNamespace(istioSystem), client.MatchingLabels{"istio/multiCluster": "true"}); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			versions[m+"/"+list.Items[i].Name] = list.Items[i].ResourceVersion
		}
	}
	return versions
}

const freshService = `
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: demo}
spec:
  selector: {app: echo, cluster: %[2]s}
  ports:
  - {name: http, port: 8080, targetPort: http}
`

// freshServices makes a new Service of the pods of each member, and expects every other member to reach it.
func (s *suite) freshServices(ctx context.Context, name string) error {
	for _, m := range s.env.Members() {
		service := name + "-" + m
		// Callers find the name in their own cluster; the endpoints are in the member's.
		for _, in := range s.env.Members() {
			if err := s.env.Cluster(in).Apply(ctx, fmt.Sprintf(freshService, service, m)); err != nil {
				return err
			}
		}
	}
	for _, m := range s.env.Members() {
		for _, from := range s.env.Members() {
			url := fmt.Sprintf("http://%s-%s.demo.svc.cluster.local:8080/", name, m)
			if err := s.awaitAnswer(ctx, from, url, m); err != nil {
				return err
			}
		}
	}
	for _, m := range s.env.Members() {
		for _, in := range s.env.Members() {
			if err := s.env.Cluster(in).Delete(ctx, fmt.Sprintf(freshService, name+"-"+m, m)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *suite) awaitAnswer(ctx context.Context, from, url, want string) error {
	return harness.Await(ctx, from+" reaches "+url, freshDeadline, func(ctx context.Context) (bool, string, error) {
		answer, err := s.env.Client(from).Get(ctx, url)
		if err != nil || !answer.OK() {
			return false, answer.String(), err
		}
		echo, err := answer.Echo()
		return echo.Cluster == want, "served by " + echo.Cluster, err
	})
}

// remoteSecretWritten changes the bytes of a remote secret, as any tool may. From 1.30 on istiod exchanges its client of the peer: it goes on
// to read the peer, no request is lost, and no restart is ordered. A restart that is ordered later shows as writes in the steady state, which
// follows and lasts longer than the operator waits for a peer that is stuck.
func (s *suite) remoteSecretWritten(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	before, err := s.env.MeshMember(ctx, "east")
	if err != nil {
		t.Fatal(err)
	}
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := changeBytes(ctx, east, "west"); err != nil {
			return err
		}
		if err := s.freshServices(ctx, "after-write"); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
	after, err := s.env.MeshMember(ctx, "east")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Spec.IstiodRestart, after.Spec.IstiodRestart); diff != "" {
		t.Errorf("a restart of istiod was ordered (-before +after):\n%s", diff)
	}
}

// changeBytes writes a remote secret anew, with the same meaning.
func changeBytes(ctx context.Context, c *harness.Cluster, peer string) error {
	secret := &corev1.Secret{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: istioSystem, Name: discovery.RemoteSecretName(peer)}, secret); err != nil {
		return err
	}
	text := strings.TrimSpace(string(secret.Data[peer])) + "\n# written by hand\n"
	patch := fmt.Appendf(nil, `{"data":{%q:%q}}`, peer, base64.StdEncoding.EncodeToString([]byte(text)))
	return c.Client.Patch(ctx, secret, client.RawPatch("application/merge-patch+json", patch))
}
