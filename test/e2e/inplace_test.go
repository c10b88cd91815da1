//go:build e2e && upgrades

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	gatewayInPlace = "istio-eastwestgateway"
	// lostInPlace is the part of the requests that may be lost when the pods of a gateway are replaced in place: those that
	// are on a connection in use when the old pod's drain ends.
	lostInPlace = 0.002
)

// inPlace changes the gateways to ones that keep their Service, by an upgrade that loses nothing, replaces their pods in another one,
// which may cut connections in use, and changes them back.
func (s *suite) inPlace(t *testing.T) {
	ctx := t.Context()
	s.patience(t, 4*time.Minute)
	s.replacement(t, meshv1alpha1.GatewayReplacementInPlace)
	before, err := s.gatewayAddresses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	load, err := s.env.StartSteady(ctx, s.env.Members(), upgradePerSecond)
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.env.Upgrades(ctx)
	if err == nil {
		var changeErr error
		err = s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
			changeErr = harness.SetValue(m, "35", "env", "PILOT_PUSH_THROTTLE")
		})
		err = errors.Join(changeErr, err)
	}
	var u *meshv1alpha1.MeshUpgrade
	if err == nil {
		u, err = s.env.AwaitUpgrade(ctx, records, upgradeDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeSucceeded},
			func(*meshv1alpha1.MeshUpgrade, string) error { return nil })
	}
	if err == nil {
		err = s.awaitDrained(ctx, u.Spec.From.Revision)
	}
	report, loadErr := load.Stop(context.WithoutCancel(ctx))
	if err := errors.Join(err, loadErr); err != nil {
		s.env.Dump(ctx, t.Name())
		t.Fatal(err)
	}
	s.env.Logf("  replaced in place: %d of %d requests lost", report.Failed, report.Sent)
	if most := float64(report.Sent) * lostInPlace; float64(report.Failed) > most || report.Sent == 0 {
		t.Errorf("%d of %d requests lost, want %.0f at most", report.Failed, report.Sent, most)
	}
	after, err := s.gatewayAddresses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for member, address := range before {
		if after[member] != address {
			t.Errorf("the gateway of %s moved from %s to %s", member, address, after[member])
		}
	}
	s.replacement(t, meshv1alpha1.GatewayReplacementSurge)
	inst, err := s.env.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.env.Members() {
		if err := s.env.AwaitRevision(ctx, m, inst.Status.Revision); err != nil {
			t.Error(err)
		}
	}
}

// replacement changes the kind of gateways under load and wants nothing lost.
func (s *suite) replacement(t *testing.T, kind meshv1alpha1.GatewayReplacement) {
	t.Helper()
	ctx := t.Context()
	s.underLoad(t, s.env.Members(), upgradePerSecond, func() error {
		records, err := s.env.Upgrades(ctx)
		if err != nil {
			return err
		}
		if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.EastWestGateway.Replacement = kind }); err != nil {
			return err
		}
		if _, err := s.env.AwaitUpgrade(ctx, records, upgradeDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeSucceeded},
			func(*meshv1alpha1.MeshUpgrade, string) error { return nil }); err != nil {
			return err
		}
		return harness.Await(ctx, fmt.Sprintf("gateways to be %s everywhere", kind), readyDeadline, func(ctx context.Context) (bool, string, error) {
			members, err := s.env.MeshMembers(ctx)
			if err != nil {
				return false, "", err
			}
			for i := range members {
				g := members[i].Status.Gateway
				isInPlace := g.Name == gatewayInPlace
				ready := members[i].Status.ObservedGeneration == members[i].Generation &&
					meta.IsStatusConditionTrue(members[i].Status.Conditions, meshv1alpha1.ConditionReady)
				if isInPlace != (kind == meshv1alpha1.GatewayReplacementInPlace) || !ready {
					return false, fmt.Sprintf("%s: gateway %s, ready %v", members[i].Spec.Cluster, g.Name, ready), nil
				}
			}
			return true, "", nil
		})
	})
	s.step(t, "members reach each other", func() error { return traffic.AcrossClusters(ctx, s.env) })
}

// gatewayAddresses are those of the gateways in place.
func (s *suite) gatewayAddresses(ctx context.Context) (map[string]string, error) {
	members, err := s.env.MeshMembers(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range members {
		g := members[i].Status.Gateway
		if g.Name != gatewayInPlace || len(g.Addresses) == 0 {
			return nil, fmt.Errorf("member %s has gateway %q at %v, want %s", members[i].Spec.Cluster, g.Name, g.Addresses, gatewayInPlace)
		}
		out[members[i].Spec.Cluster] = g.Addresses[0]
	}
	return out, nil
}

// awaitDrained waits until no pod of a gateway of the old revision is left: what its end costs is a part of the bill.
func (s *suite) awaitDrained(ctx context.Context, revision string) error {
	return harness.Await(ctx, "the old pods of the gateways to have drained", upgradeDeadline, func(ctx context.Context) (bool, string, error) {
		var left []string
		for _, member := range s.env.Members() {
			pods := &corev1.PodList{}
			if err := s.env.Cluster(member).Client.List(ctx, pods, client.InNamespace(harness.ControlPlaneNamespace),
				client.MatchingLabels{"istio": "eastwestgateway"}); err != nil {
				return false, "", err
			}
			for i := range pods.Items {
				if harness.InjectedRevision(&pods.Items[i]) == revision {
					left = append(left, member+" "+pods.Items[i].Name)
				}
			}
		}
		return len(left) == 0, strings.Join(left, ", "), nil
	})
}
