package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	east = types.NamespacedName{Namespace: "meshfleet-system", Name: "shop-east"}
	west = types.NamespacedName{Namespace: "meshfleet-system", Name: "shop-west"}
	at   = time.Unix(1767225600, 0)
)

// series are the values of a member's series, by metric and what else tells them apart.
func series(t *testing.T, member types.NamespacedName) map[string]float64 {
	t.Helper()
	families, err := ctrlmetrics.Registry.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			mine, rest := false, []string{strings.TrimPrefix(f.GetName(), "meshfleet_")}
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "member":
					mine = l.GetValue() == member.Name
				case "state", "component":
					rest = append(rest, l.GetValue())
				}
			}
			if mine {
				out[strings.Join(rest, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return out
}

func record(member types.NamespacedName) {
	SetMemberState(member, StateProgressing)
	SetMemberState(member, StateReady)
	SetCertificateExpiry(member, at)
	SetCertificateInForceExpiry(member, at.Add(-time.Second))
	SetTokenExpiry(member, at)
	SetCredentialExpiry(member, at)
	SetDiscoveryVerified(member, at)
	AddWrites(member, "gateway", 2)
	AddWrites(member, "gateway", 1)
}

func TestSeriesOfAMember(t *testing.T) {
	record(east)
	record(west)
	t.Cleanup(func() { Forget(west) })
	want := map[string]float64{
		"member_state ready": 1, "member_state progressing": 0, "member_state failing": 0, "member_state stalled": 0, "member_state unreachable": 0,
		"certificate_expiry_timestamp_seconds": 1767225600, "certificate_in_force_expiry_timestamp_seconds": 1767225599, "discovery_token_expiry_timestamp_seconds": 1767225600,
		"member_credential_expiry_timestamp_seconds": 1767225600,
		"discovery_verified_timestamp_seconds":       1767225600, "member_writes_total gateway": 3,
	}
	if diff := cmp.Diff(want, series(t, east)); diff != "" {
		t.Errorf("series of east (-want +got):\n%s", diff)
	}
	Forget(east)
	if left := series(t, east); len(left) > 0 {
		t.Errorf("a member that is gone has series left: %v", left)
	}
	if diff := cmp.Diff(want, series(t, west)); diff != "" {
		t.Errorf("forgetting east touched west (-want +got):\n%s", diff)
	}
}

// TestACredentialWithoutExpiryHasNoSeries wants no alert about a credential that was replaced by one without an expiry.
func TestACredentialWithoutExpiryHasNoSeries(t *testing.T) {
	t.Cleanup(func() { Forget(east) })
	SetCredentialExpiry(east, at)
	SetCredentialExpiry(east, time.Time{})
	if left := series(t, east); len(left) > 0 {
		t.Errorf("series are left: %v", left)
	}
}

func TestSeriesOfAnInstallation(t *testing.T) {
	shop, other := types.NamespacedName{Namespace: "meshfleet-system", Name: "shop"}, types.NamespacedName{Namespace: "meshfleet-system", Name: "other"}
	SetRootExpiry(shop, at)
	SetRootExpiry(other, at.Add(time.Second))
	t.Cleanup(func() { ForgetInstallation(other) })
	if diff := cmp.Diff(map[string]float64{"shop": 1767225600, "other": 1767225601}, roots(t)); diff != "" {
		t.Errorf("roots expire (-want +got):\n%s", diff)
	}
	ForgetInstallation(shop)
	if diff := cmp.Diff(map[string]float64{"other": 1767225601}, roots(t)); diff != "" {
		t.Errorf("roots expire after shop is gone (-want +got):\n%s", diff)
	}
}

// TestReleases expects series of running releases only, and no series of an end of support that is not announced.
func TestReleases(t *testing.T) {
	shop := types.NamespacedName{Namespace: "meshfleet-system", Name: "shop"}
	t.Cleanup(func() { ForgetInstallation(shop) })
	SetReleases(shop, []ReleaseState{{Version: "1.28.3", EndOfSupport: at}, {Version: "1.31.0", IsSupported: true}})
	if got := releaseSeries(t); got != "meshfleet_release_end_of_support_timestamp_seconds 1.28.3 1767225600; meshfleet_release_supported 1.28.3 0; meshfleet_release_supported 1.31.0 1; " {
		t.Errorf("series are %s", got)
	}
	SetReleases(shop, []ReleaseState{{Version: "1.31.0", IsSupported: true}})
	if got := releaseSeries(t); got != "meshfleet_release_supported 1.31.0 1; " {
		t.Errorf("series after the upgrade are %s", got)
	}
	ForgetInstallation(shop)
	if got := releaseSeries(t); got != "" {
		t.Errorf("series after the mesh is gone are %s", got)
	}
}

// releaseSeries are the series of releases, in the order of their names and versions.
func releaseSeries(t *testing.T) string {
	t.Helper()
	families, err := ctrlmetrics.Registry.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.HasPrefix(f.GetName(), "meshfleet_release_") && l.GetName() == "version" {
					out += fmt.Sprintf("%s %s %.0f; ", f.GetName(), l.GetValue(), m.GetGauge().GetValue())
				}
			}
		}
	}
	return out
}

// roots are the expiries of roots by installation.
func roots(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := ctrlmetrics.Registry.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "meshfleet_root_expiry_timestamp_seconds" && l.GetName() == "installation" {
					out[l.GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
	}
	return out
}

// TestHolds expects series of members that are held, and of no others.
func TestHolds(t *testing.T) {
	shop, other := types.NamespacedName{Namespace: "meshfleet-system", Name: "shop"}, types.NamespacedName{Namespace: "meshfleet-system", Name: "other"}
	t.Cleanup(func() { ForgetInstallation(other) })
	const name = "member_hold_until_timestamp_seconds"
	SetHolds(shop, map[types.NamespacedName]time.Time{east: at, west: at.Add(time.Second)})
	SetHolds(other, map[types.NamespacedName]time.Time{{Namespace: east.Namespace, Name: "other-east"}: at})
	if diff := cmp.Diff(map[string]float64{name: 1767225601}, series(t, west)); diff != "" {
		t.Errorf("series of west (-want +got):\n%s", diff)
	}
	SetHolds(shop, map[types.NamespacedName]time.Time{east: at})
	if left := series(t, west); len(left) > 0 {
		t.Errorf("west is not held any more, and has %v", left)
	}
	ForgetInstallation(shop)
	if left := series(t, east); len(left) > 0 {
		t.Errorf("the mesh is gone, and east has %v", left)
	}
	if left := series(t, types.NamespacedName{Namespace: east.Namespace, Name: "other-east"}); len(left) != 1 {
		t.Errorf("a member of another mesh has %v", left)
	}
}
