package gitops

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const group = "resource_customizations/mesh.meshfleet.io"

// now is the time at which the operator wrote the newest conditions of the recorded objects.
var now = time.Date(2026, 3, 2, 12, 30, 0, 0, time.UTC)

// apartFromTime ignores when a condition changed.
var apartFromTime = cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")

// record is an object in one state, as Argo CD reads it.
type record struct {
	// name is the name of the file without its extension.
	name string
	// path is below config/argocd.
	path    string
	content []byte
}

// records are the objects in a directory below config/argocd.
func records(t *testing.T, dir string) (out []record) {
	t.Helper()
	root := testutil.InRepository("config", "argocd")
	testutil.Must(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || filepath.Base(filepath.Dir(path)) != "testdata" {
			return err
		}
		content, err := os.ReadFile(path)
		out = append(out, record{strings.TrimSuffix(e.Name(), ".yaml"), strings.TrimPrefix(path, root+"/"), content})
		return err
	}))
	if len(out) == 0 {
		t.Fatalf("config/argocd/%s has no recorded objects", dir)
	}
	return out
}

// read decodes a recorded object. Fields that the API does not have are an error.
func (r record) read(t *testing.T, object any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(r.content, object); err != nil {
		t.Fatalf("%s: %v", r.path, err)
	}
}

// TestRecordedUpgradesAreWhatTheOperatorWrites computes the conditions again from the rest of the status.
func TestRecordedUpgradesAreWhatTheOperatorWrites(t *testing.T) {
	for _, r := range records(t, group+"/MeshUpgrade") {
		t.Run(r.path, func(t *testing.T) {
			u := &meshv1alpha1.MeshUpgrade{}
			r.read(t, u)
			st := u.Status.DeepCopy()
			if st.Phase == "" {
				if len(st.Conditions) > 0 {
					t.Error("there are conditions and no phase")
				}
				return
			}
			reason, cure := "", ""
			if stalled := meta.FindStatusCondition(st.Conditions, meshv1alpha1.ConditionStalled); stalled != nil && !st.Phase.IsFinished() {
				reason = stalled.Reason
				_, cure, _ = strings.Cut(stalled.Message, st.Message+"; ")
			}
			st.Conditions = nil
			status.SetUpgrade(st, u.Generation, status.Upgrade(st, reason, cure), now)
			if diff := cmp.Diff(st.Conditions, u.Status.Conditions, apartFromTime); diff != "" {
				t.Errorf("conditions (-written +recorded):\n%s", diff)
			}
		})
	}
}

// TestRecordedApprovalsAreWhatTheOperatorWrites computes the status again from the approval and a recorded upgrade.
func TestRecordedApprovalsAreWhatTheOperatorWrites(t *testing.T) {
	upgrades := map[string]*meshv1alpha1.MeshUpgrade{}
	for _, r := range records(t, group+"/MeshUpgrade/testdata") {
		upgrades[r.name] = &meshv1alpha1.MeshUpgrade{}
		r.read(t, upgrades[r.name])
	}
	upgradeOf := map[string]string{
		"approved": "running", "rejected": "rejected", "not_needed": "aborted", "expired": "waiting_for_approval",
		"waiting_for_decision": "waiting_for_approval", "waiting_for_upgrade": "waiting_for_approval", "upgrade_mismatch": "waiting_for_approval",
	}
	for _, r := range records(t, group+"/MeshApproval/testdata") {
		t.Run(r.path, func(t *testing.T) {
			a := &meshv1alpha1.MeshApproval{}
			r.read(t, a)
			if a.Status.ObservedGeneration != a.Generation {
				// The operator wrote it before the last change of the spec, or has written nothing yet.
				return
			}
			u := upgrades[upgradeOf[r.name]]
			if u == nil {
				t.Fatalf("no recorded MeshUpgrade for %q", r.name)
			}
			recorded := a.Status
			a.Status = meshv1alpha1.MeshApprovalStatus{}
			status.SetApproval(a, u, now)
			if diff := cmp.Diff(a.Status, recorded, apartFromTime); diff != "" {
				t.Errorf("status (-written +recorded):\n%s", diff)
			}
		})
	}
}

// TestRecordedSummariesFollowTheTable wants Ready, Reconciling and Stalled as docs/conditions.md has them, and Ready only when the
// conditions that it depends on are True.
func TestRecordedSummariesFollowTheTable(t *testing.T) {
	for _, r := range append(records(t, group+"/MeshInstallation"), records(t, group+"/MeshMember")...) {
		t.Run(r.path, func(t *testing.T) {
			object := struct {
				Status struct {
					ObservedGeneration int64              `json:"observedGeneration"`
					Conditions         []metav1.Condition `json:"conditions"`
				} `json:"status"`
			}{}
			if err := yaml.Unmarshal(r.content, &object); err != nil {
				t.Fatal(err)
			}
			if len(object.Status.Conditions) == 0 {
				return
			}
			wantSummary(t, object.Status.Conditions)
			ready := meta.FindStatusCondition(object.Status.Conditions, meshv1alpha1.ConditionReady)
			if ready.ObservedGeneration != object.Status.ObservedGeneration {
				t.Errorf("Ready is of generation %d, the status is of %d", ready.ObservedGeneration, object.Status.ObservedGeneration)
			}
		})
	}
}

func wantSummary(t *testing.T, conditions []metav1.Condition) {
	t.Helper()
	ready := meta.FindStatusCondition(conditions, meshv1alpha1.ConditionReady)
	reconciling := meta.FindStatusCondition(conditions, meshv1alpha1.ConditionReconciling)
	stalled := meta.FindStatusCondition(conditions, meshv1alpha1.ConditionStalled)
	if ready == nil {
		t.Fatal("there is no Ready")
	}
	isRight := map[metav1.ConditionStatus]bool{
		metav1.ConditionTrue:    reconciling == nil && stalled == nil,
		metav1.ConditionUnknown: reconciling != nil && stalled == nil,
		metav1.ConditionFalse:   (reconciling == nil) != (stalled == nil),
	}[ready.Status]
	if !isRight {
		t.Errorf("Ready is %s, Reconciling is %v, Stalled is %v", ready.Status, reconciling, stalled)
	}
	for _, other := range []*metav1.Condition{reconciling, stalled} {
		if other != nil && (other.Status != metav1.ConditionTrue || other.Reason != ready.Reason || other.Message != ready.Message) {
			t.Errorf("%s is %s %s: %s, Ready is %s: %s", other.Type, other.Status, other.Reason, other.Message, ready.Reason, ready.Message)
		}
	}
	for _, kind := range []string{
		meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady, meshv1alpha1.ConditionGatewaysReady,
		meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionAvailable,
	} {
		if ready.Status == metav1.ConditionTrue && !meta.IsStatusConditionTrue(conditions, kind) {
			t.Errorf("Ready is True, and %s is not", kind)
		}
	}
}
