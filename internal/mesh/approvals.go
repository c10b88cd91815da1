package mesh

import (
	"slices"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// IsExpired says whether an approval expired before its wave started. One that is used does not expire any more.
func IsExpired(a *meshv1alpha1.MeshApproval, upgrade *meshv1alpha1.MeshUpgradeStatus, now time.Time) bool {
	if a.Spec.Decision != meshv1alpha1.DecisionApproved || a.Spec.Expires == nil || now.Before(a.Spec.Expires.Time) {
		return false
	}
	return !slices.ContainsFunc(upgrade.Waves, func(w meshv1alpha1.WaveStatus) bool {
		return w.Name == a.Spec.Wave && w.StartedAt != nil && w.StartedAt.Time.Before(a.Spec.Expires.Time)
	})
}
