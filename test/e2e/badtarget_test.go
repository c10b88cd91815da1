//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// value changes one value of the control planes.
func value(v any, path ...string) func(*meshv1alpha1.MeshInstallation) error {
	return func(m *meshv1alpha1.MeshInstallation) error { return harness.SetValue(m, v, path...) }
}

// badImage names an image that does not exist: there is no istiod to ask, and the first wave goes back.
func (s *suite) badImage(t *testing.T) {
	s.goesBack(t, "ControlPlaneReady", value("no-such-release", "global", "tag"), nil)
}

// badProxy names an image that is no proxy: istiod is well, but what it injects does not stay up. The gateway is the
// first to be given it.
func (s *suite) badProxy(t *testing.T) {
	s.goesBack(t, "ProxiesSynced", value("lab.local/echo:1", "global", "proxy", "image"), nil)
}

// filter adds a cluster that Envoy rejects, for proxies of one revision. Validation cannot see it.
const filter = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: rejected
  namespace: istio-system
  labels:
    istio.io/rev: %s
spec:
  configPatches:
  - applyTo: CLUSTER
    match:
      context: SIDECAR_OUTBOUND
    patch:
      operation: ADD
      value:
        name: rejected
        type: LOGICAL_DNS
        connect_timeout: 1s
`

// badFilter gives the new revision a configuration that its proxies reject.
func (s *suite) badFilter(t *testing.T) {
	applied := ""
	t.Cleanup(func() {
		if applied == "" {
			return
		}
		if err := s.env.Cluster("east").Delete(context.Background(), applied); err != nil {
			t.Error(err)
		}
	})
	s.goesBack(t, "ConfigAccepted", value("60", "env", "PILOT_PUSH_THROTTLE"),
		func(u *meshv1alpha1.MeshUpgrade) error {
			if applied != "" {
				return nil
			}
			applied = fmt.Sprintf(filter, u.Spec.To.Revision)
			return s.env.Cluster("east").Apply(t.Context(), applied)
		})
}

// proxyEnv makes istiod reach servers through a proxy that does not exist, except those that are listed.
func proxyEnv(proxy, except string) func(*meshv1alpha1.MeshInstallation) error {
	return func(m *meshv1alpha1.MeshInstallation) error {
		return cmp.Or(harness.SetValue(m, proxy, "env", "HTTPS_PROXY"), harness.SetValue(m, except, "env", "NO_PROXY"))
	}
}

// badPeer takes one peer out of sight of the new revision: it reads its own cluster and the third, but not west.
func (s *suite) badPeer(t *testing.T) {
	south, err := url.Parse(s.env.Cluster(third).Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	own := &corev1.Service{}
	if err := s.env.Cluster("east").Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, own); err != nil {
		t.Fatal(err)
	}
	except := strings.Join([]string{south.Hostname(), own.Spec.ClusterIP, "localhost", "127.0.0.1"}, ",")
	s.goesBack(t, "PeersSynced", proxyEnv("http://127.0.0.1:9", except), nil)
}

// badTLS turns off what makes clients speak mutual TLS by themselves. Every peer demands it, so that each request would fail
// once workloads had moved.
func (s *suite) badTLS(t *testing.T) {
	s.goesBack(t, "ConfigDiff", value(false, "meshConfig", "enableAutoMtls"), nil)
}

// goesBack wants a target to be refused in the first wave without a lost request, for the cause given, and not to be
// tried again.
func (s *suite) goesBack(t *testing.T, wantCause string, change func(*meshv1alpha1.MeshInstallation) error,
	watch func(*meshv1alpha1.MeshUpgrade) error,
) {
	t.Helper()
	ctx := t.Context()
	former, err := s.env.MeshMember(ctx, "east")
	if err != nil {
		t.Fatal(err)
	}
	s.keepSpec(t)
	back := &wayBack{suite: s, former: former.Spec.DefaultRevision}
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeRolledBack, change, func(u *meshv1alpha1.MeshUpgrade) error {
		back.watch(ctx, u)
		if watch == nil {
			return nil
		}
		return watch(u)
	})
	s.env.Logf("  went back: %s", u.Status.Message)
	if err := back.require(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(u.Status.Message, wantCause) {
		t.Errorf("the message is %q, want it to name %q", u.Status.Message, wantCause)
	}
	for _, m := range s.env.Members() {
		if err := s.env.AwaitRevision(ctx, m, former.Spec.DefaultRevision); err != nil {
			t.Error(err)
		}
		member, err := s.env.MeshMember(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if o := member.Spec.Rollout; waveOf(m) == "rest" && o != nil && o.Stage != meshv1alpha1.StagePreflight {
			t.Errorf("member %q of the second wave was ordered to %s", m, o.Stage)
		}
	}
	s.requireNotTriedAgain(t)
}

// keepSpec gives the mesh its present spec again when the test is over, also after a failure: what follows starts from a mesh that is
// well, whatever former tests left in the spec.
func (s *suite) keepSpec(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	before, err := s.env.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.env.Step("take the bad target back", func() error {
			if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { before.Spec.DeepCopyInto(&m.Spec) }); err != nil {
				return err
			}
			return s.waitReady(ctx)
		}); err != nil {
			t.Error(err)
		}
	})
}

// requireNotTriedAgain writes the same spec again, as a tool does, and wants no new upgrade.
func (s *suite) requireNotTriedAgain(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	before, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Annotations = map[string]string{"meshfleet-suite/applied": time.Now().Format(time.RFC3339)}
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	after, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again := harness.NewUpgrades(after, before); len(again) > 0 {
		t.Errorf("MeshUpgrade %s began when the same spec was applied again", again[0].Name)
	}
}
