// Package metrics contains the operator's own metrics. They are served together with those of controller-runtime.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/meshfleet/meshfleet/internal/build"
)

// States of a member in MemberState.
const (
	StateReady       = "ready"
	StateProgressing = "progressing"
	StateFailing     = "failing"
	StateStalled     = "stalled"
	StateUnreachable = "unreachable"
)

var states = []string{StateReady, StateProgressing, StateFailing, StateStalled, StateUnreachable}

var (
	buildInfo = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meshfleet_build_info",
		Help: "1, with the version, the Git commit and the release of Go of the operator.",
		ConstLabels: prometheus.Labels{
			"version": build.Current().Version, "commit": build.Current().Commit, "goversion": build.Current().GoVersion,
		},
	}, func() float64 { return 1 })
	phaseDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "meshfleet_reconcile_phase_duration_seconds",
		Help:    "Duration of a phase of a reconciler, in seconds.",
		Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"controller", "phase"})
	memberState = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_member_state",
		Help: "1 for the current state of a member, 0 for the other states.",
	}, []string{"namespace", "member", "state"})
	certificateExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_certificate_expiry_timestamp_seconds",
		Help: "Expiry of the newest intermediate certificate that was issued for a member, Unix time.",
	}, []string{"namespace", "member"})
	certificateInForceExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_certificate_in_force_expiry_timestamp_seconds",
		Help: "Expiry of the intermediate certificate with which istiod of a member signs, Unix time. The earliest one of all istiod pods.",
	}, []string{"namespace", "member"})
	tokenExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_discovery_token_expiry_timestamp_seconds",
		Help: "Expiry of the reader token that the peers of a member use, Unix time.",
	}, []string{"namespace", "member"})
	credentialExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_member_credential_expiry_timestamp_seconds",
		Help: "Expiry of the credential with which the operator connects to a member, Unix time. There is no series for a credential without an expiry.",
	}, []string{"namespace", "member"})
	rootExpiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_root_expiry_timestamp_seconds",
		Help: "Expiry of the root certificate of a mesh, Unix time.",
	}, []string{"namespace", "installation"})
	releaseSupported = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_release_supported",
		Help: "1 if upstream supports an Istio release that members of a mesh run, and it has no known defect, else 0.",
	}, []string{"namespace", "installation", "version"})
	releaseEndOfSupport = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_release_end_of_support_timestamp_seconds",
		Help: "End of upstream's support for an Istio release that members of a mesh run, Unix time. There is no series while no end is announced.",
	}, []string{"namespace", "installation", "version"})
	holdUntil = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_member_hold_until_timestamp_seconds",
		Help: "Time until which it was agreed that a member is held back from upgrades, Unix time. There is no series for a member that is not held.",
	}, []string{"namespace", "installation", "member"})
	discoveryVerified = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshfleet_discovery_verified_timestamp_seconds",
		Help: "Last time at which every istiod of a member had synced all peers that have served, Unix time.",
	}, []string{"namespace", "member"})
	writes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshfleet_member_writes_total",
		Help: "Objects created, changed or deleted in a member. The value is constant when nothing changes. A lasting rate means that another client keeps changing an object.",
	}, []string{"namespace", "member", "component"})
)

func init() {
	ctrlmetrics.Registry.MustRegister(buildInfo, phaseDuration, memberState, certificateExpiry, certificateInForceExpiry, tokenExpiry, credentialExpiry,
		rootExpiry, releaseSupported, releaseEndOfSupport, holdUntil, discoveryVerified, writes)
}

// ObservePhase records how long a phase took.
func ObservePhase(controller, phase string, d time.Duration) {
	phaseDuration.WithLabelValues(controller, phase).Observe(d.Seconds())
}

// SetMemberState records the current state of a member.
func SetMemberState(member types.NamespacedName, state string) {
	for _, s := range states {
		v := 0.0
		if s == state {
			v = 1
		}
		memberState.WithLabelValues(member.Namespace, member.Name, s).Set(v)
	}
}

// SetCertificateExpiry records the expiry of the newest intermediate certificate that was issued for a member.
func SetCertificateExpiry(member types.NamespacedName, t time.Time) {
	certificateExpiry.WithLabelValues(member.Namespace, member.Name).Set(float64(t.Unix()))
}

// SetCertificateInForceExpiry records the expiry of the intermediate certificate with which istiod of a member signs.
func SetCertificateInForceExpiry(member types.NamespacedName, t time.Time) {
	certificateInForceExpiry.WithLabelValues(member.Namespace, member.Name).Set(float64(t.Unix()))
}

// SetTokenExpiry records the expiry of a member's reader token.
func SetTokenExpiry(member types.NamespacedName, t time.Time) {
	tokenExpiry.WithLabelValues(member.Namespace, member.Name).Set(float64(t.Unix()))
}

// SetCredentialExpiry records the expiry of the credential for a member. Zero: it has none.
func SetCredentialExpiry(member types.NamespacedName, t time.Time) {
	if t.IsZero() {
		credentialExpiry.DeleteLabelValues(member.Namespace, member.Name)
		return
	}
	credentialExpiry.WithLabelValues(member.Namespace, member.Name).Set(float64(t.Unix()))
}

// SetRootExpiry records the expiry of the root of a mesh.
func SetRootExpiry(installation types.NamespacedName, t time.Time) {
	rootExpiry.WithLabelValues(installation.Namespace, installation.Name).Set(float64(t.Unix()))
}

// ForgetInstallation deletes the series of a mesh that was removed.
func ForgetInstallation(installation types.NamespacedName) {
	rootExpiry.DeleteLabelValues(installation.Namespace, installation.Name)
	SetReleases(installation, nil)
	SetHolds(installation, nil)
}

// SetHolds records until when members of a mesh are held. Series of others are deleted.
func SetHolds(installation types.NamespacedName, until map[types.NamespacedName]time.Time) {
	holdUntil.DeletePartialMatch(prometheus.Labels{"namespace": installation.Namespace, "installation": installation.Name})
	for member, t := range until {
		holdUntil.WithLabelValues(member.Namespace, installation.Name, member.Name).Set(float64(t.Unix()))
	}
}

// ReleaseState is what SetReleases records of a release.
type ReleaseState struct {
	// Version is the Istio release.
	Version string
	// IsSupported: upstream supports it, and it has no known defect.
	IsSupported bool
	// EndOfSupport is zero if it is not announced.
	EndOfSupport time.Time
}

// SetReleases records the releases of a mesh. Series of others are deleted.
func SetReleases(installation types.NamespacedName, releases []ReleaseState) {
	labels := prometheus.Labels{"namespace": installation.Namespace, "installation": installation.Name}
	releaseSupported.DeletePartialMatch(labels)
	releaseEndOfSupport.DeletePartialMatch(labels)
	for _, r := range releases {
		v := 0.0
		if r.IsSupported {
			v = 1
		}
		releaseSupported.WithLabelValues(installation.Namespace, installation.Name, r.Version).Set(v)
		if !r.EndOfSupport.IsZero() {
			releaseEndOfSupport.WithLabelValues(installation.Namespace, installation.Name, r.Version).Set(float64(r.EndOfSupport.Unix()))
		}
	}
}

// SetDiscoveryVerified records that all peers were synced at t.
func SetDiscoveryVerified(member types.NamespacedName, t time.Time) {
	discoveryVerified.WithLabelValues(member.Namespace, member.Name).Set(float64(t.Unix()))
}

// AddWrites counts writes to a member.
func AddWrites(member types.NamespacedName, component string, n int) {
	writes.WithLabelValues(member.Namespace, member.Name, component).Add(float64(n))
}

// Forget deletes the series of a member that was removed.
func Forget(member types.NamespacedName) {
	labels := prometheus.Labels{"namespace": member.Namespace, "member": member.Name}
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{memberState, certificateExpiry, certificateInForceExpiry, tokenExpiry, credentialExpiry, discoveryVerified, writes} {
		v.DeletePartialMatch(labels)
	}
}
