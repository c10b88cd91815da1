package rollout

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// recordBytes is far below what etcd takes. The names of 1,000 members are in it.
const recordBytes = 64 << 10

// TestRecordsOfManyFailuresAreSmall lets all of 1,000 members report long errors of every gate.
func TestRecordsOfManyFailuresAreSmall(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("member-%04d", i)
	}
	cases := map[string]struct {
		waves   int
		stage   meshv1alpha1.Stage
		state   meshv1alpha1.StageState
		verdict meshv1alpha1.Verdict
		// late counts from a report that is a day old.
		late bool
		want meshv1alpha1.UpgradePhase
	}{
		"failed":                     {waves: 1, stage: meshv1alpha1.StageInstall, state: meshv1alpha1.StageFailed, verdict: meshv1alpha1.VerdictFail, want: meshv1alpha1.UpgradeRollingBack},
		"failed, in many waves":      {waves: 16, stage: meshv1alpha1.StageSoak, state: meshv1alpha1.StageFailed, verdict: meshv1alpha1.VerdictFail, want: meshv1alpha1.UpgradeRollingBack},
		"no progress":                {waves: 4, stage: meshv1alpha1.StageGateways, state: meshv1alpha1.StageProgressing, verdict: meshv1alpha1.VerdictError, late: true, want: meshv1alpha1.UpgradeRollingBack},
		"inconclusive":               {waves: 1, stage: meshv1alpha1.StageWorkloads, state: meshv1alpha1.StageInconclusive, verdict: meshv1alpha1.VerdictInconclusive, want: meshv1alpha1.UpgradePaused},
		"blocked in the preflight":   {waves: 1, stage: meshv1alpha1.StagePreflight, state: meshv1alpha1.StageInconclusive, verdict: meshv1alpha1.VerdictInconclusive, want: meshv1alpha1.UpgradePaused},
		"failed before it has begun": {waves: 1, stage: meshv1alpha1.StagePreflight, state: meshv1alpha1.StageFailed, verdict: meshv1alpha1.VerdictFail, want: meshv1alpha1.UpgradeRolledBack},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var waves []meshv1alpha1.PlannedWave
			for chunk := range slices.Chunk(names, (len(names)+c.waves-1)/c.waves) {
				waves = append(waves, wave(fmt.Sprintf("wave-%d", len(waves)), chunk...))
			}
			w := newWorld(t, waves...)
			// Copies instead of what the API server gives back: 1,000 members of 15 KB take long to read.
			w.random = rand.New(rand.NewPCG(0, 0)) //nolint:gosec // repeatable on purpose
			long := strings.Repeat("istiod answers with a long error; ", 30)
			for _, name := range names {
				w.at(name, c.stage, c.state)
				st := w.member(name).Status.Rollout
				st.Message = strings.Repeat(long, 4)
				for i := range 13 {
					st.Gates = append(st.Gates, meshv1alpha1.GateResult{Name: fmt.Sprintf("Gate%d", i), Verdict: c.verdict, Message: long})
				}
				if c.late {
					st.Since = metav1.NewTime(w.now.Add(-24 * time.Hour))
					setReachable(w.member(name), true, st.Since.Time)
				}
			}
			// A second pass makes its texts of those of the first.
			for range 2 {
				got := Next(w.stored()).Status
				if got.Phase != c.want {
					t.Errorf("phase %s, want %s: %.300s", got.Phase, c.want, got.Message)
				}
				raw, err := json.Marshal(got)
				if err != nil {
					t.Fatal(err)
				}
				if len(raw) > recordBytes {
					t.Errorf("the record has %d bytes, at most %d are allowed", len(raw), recordBytes)
				}
				w.upgrade.Status = got
			}
			w.upgrade.Status = meshv1alpha1.MeshUpgradeStatus{}
			if raw, err := json.Marshal(Prepare(w.stored(), "").Status); err != nil || len(raw) > recordBytes {
				t.Errorf("the plan's record has %d bytes, at most %d are allowed: %v", len(raw), recordBytes, err)
			}
		})
	}
}
