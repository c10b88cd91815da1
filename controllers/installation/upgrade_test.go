package installation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// steering is a mesh whose spec asks for other values than run.
type steering struct {
	t       *testing.T
	r       *Reconciler
	inst    *meshv1alpha1.MeshInstallation
	members []meshv1alpha1.MeshMember
	events  *events.FakeRecorder
}

func newSteering(t *testing.T) *steering {
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	inst.Spec.ControlPlane.Values = testutil.JSON(map[string]any{"autoscaleMin": 3})
	inst.Status.Revision, inst.Status.EffectiveVersion = testutil.Revision, testutil.Version
	s := &steering{t: t, inst: inst, events: events.NewFakeRecorder(20)}
	for _, name := range []string{"east", "west"} {
		s.members = append(s.members, *testutil.Member(name, testutil.Ready(), testutil.Reached(1), func(m *meshv1alpha1.MeshMember) {
			m.Spec.ReaderVersion, m.Status.ObservedGeneration = testutil.Version, m.Generation
		}))
	}
	s.r = &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithObjects(inst).WithStatusSubresource(inst, &meshv1alpha1.MeshUpgrade{}, &meshv1alpha1.MeshApproval{}).Build(),
		Events: s.events, Now: func() time.Time { return testutil.Now },
	}
	return s
}

// pass is the part of a reconciliation that is about upgrades. It returns what people are told.
func (s *steering) pass() phase.Result {
	s.t.Helper()
	_, told, err := s.r.upgrade(s.t.Context(), s.inst, s.members, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Worst(told).Result
}

// records are the upgrades, oldest first.
func (s *steering) records() []meshv1alpha1.MeshUpgrade {
	s.t.Helper()
	all, err := s.r.upgrades(s.t.Context(), s.inst, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *steering) order(u *meshv1alpha1.MeshUpgrade, order meshv1alpha1.UpgradeAction) {
	s.t.Helper()
	before := u.DeepCopy()
	metav1.SetMetaDataAnnotation(&u.ObjectMeta, meshv1alpha1.AnnotationAction, string(order))
	if err := s.r.Client.Patch(s.t.Context(), u, client.MergeFrom(before)); err != nil {
		s.t.Fatal(err)
	}
}

// told drains the events' reasons.
func (s *steering) told() (out []string) {
	for len(s.events.Events) > 0 {
		out = append(out, strings.Fields(<-s.events.Events)[1])
	}
	return out
}

func TestAnUpgradeIsSteeredByAnnotation(t *testing.T) {
	s := newSteering(t)
	s.pass()
	u := &s.records()[0]
	s.order(u, meshv1alpha1.UpgradeActionPause)
	if got := s.pass(); got.Reason != meshv1alpha1.ReasonUpgradePaused || !strings.Contains(got.Message, meshv1alpha1.AnnotationAction) {
		t.Errorf("paused, people are told: %s: %s", got.Reason, got.Text())
	}
	s.pass()
	u = &s.records()[0]
	s.order(u, meshv1alpha1.UpgradeActionAbort)
	s.pass()
	if u = &s.records()[0]; u.Status.Phase != meshv1alpha1.UpgradeRolledBack || u.Status.Cause != meshv1alpha1.CauseAborted {
		t.Errorf("aborted, the upgrade is %s (%s)", u.Status.Phase, u.Status.Cause)
	}
	for range 2 {
		if got := s.pass(); got.Kind != phase.Stalled || got.Reason != meshv1alpha1.ReasonUpgradeAborted || !strings.Contains(got.Text(), meshv1alpha1.AnnotationAction) {
			t.Errorf("after that, people are told: %s: %s", got.Reason, got.Text())
		}
	}
	s.order(u, meshv1alpha1.UpgradeActionRetry)
	s.pass()
	all := s.records()
	if len(all) != 2 {
		t.Fatalf("%d records after a retry", len(all))
	}
	again := all[slices.IndexFunc(all, func(a meshv1alpha1.MeshUpgrade) bool { return a.Name != u.Name })]
	var did []string
	for _, i := range slices.Concat(u.Status.Interventions, again.Status.Interventions) {
		did = append(did, string(i.Action)+" by "+i.By)
	}
	if diff := cmp.Diff([]string{"Pause by annotation", "Abort by annotation", "Retry by annotation"}, did); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	want := []string{
		"UpgradeStarted", "UpgradeRunning", "WaveStarted", "Paused", "UpgradePaused", "Aborted", "UpgradeRolledBack",
		"UpgradeStarted", "Retried", "UpgradeRunning", "WaveStarted",
	}
	if diff := cmp.Diff(want, s.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestAPlanThatIsAbortedIsKept wants the word of a person to outlive the plan that it ends.
func TestAPlanThatIsAbortedIsKept(t *testing.T) {
	s := newSteering(t)
	s.inst.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan
	s.pass()
	u := &s.records()[0]
	if u.Status.Phase != meshv1alpha1.UpgradePlanning {
		t.Fatalf("the plan is %s", u.Status.Phase)
	}
	s.order(u, meshv1alpha1.UpgradeActionAbort)
	// Nobody grants anything for what shall not begin.
	s.members[0].Spec.ReaderVersion = "1.0.0"
	s.pass()
	if all := s.records(); len(all) != 1 || all[0].Status.Phase != meshv1alpha1.UpgradeRolledBack {
		t.Fatalf("after the abort there is %+v", all)
	}
	if got := s.pass(); got.Reason != meshv1alpha1.ReasonUpgradeAborted {
		t.Errorf("people are told: %s: %s", got.Reason, got.Text())
	}
}

// TestAStaleRecordIsNotWrittenOver drives an upgrade from a cache that lags behind what the operator wrote itself.
func TestAStaleRecordIsNotWrittenOver(t *testing.T) {
	for _, mode := range []meshv1alpha1.UpgradeMode{meshv1alpha1.UpgradeModeRun, meshv1alpha1.UpgradeModePlan} {
		t.Run(string(mode), func(t *testing.T) {
			s := newSteering(t)
			s.inst.Spec.Upgrade.Mode = mode
			s.pass()
			stale := s.records()[0].DeepCopy()
			stale.Status = meshv1alpha1.MeshUpgradeStatus{}
			u := &s.records()[0]
			s.order(u, "")
			s.told()
			run, told, err := s.r.drive(t.Context(), s.inst, s.members, stale, upgrade.Decision{})
			if err != nil || run == nil || len(run.Orders) > 0 || run.IsPlanOnly != (mode == meshv1alpha1.UpgradeModePlan) {
				t.Fatalf("run %+v, error %v, want work orders to stay as they are", run, err)
			}
			if got := status.Worst(told).Result; got.Kind != phase.Wait || got.After == 0 {
				t.Errorf("people are told %+v, want a look again", got)
			}
			if diff := cmp.Diff(u.Status, s.records()[0].Status); diff != "" {
				t.Errorf("written over (-before +after):\n%s", diff)
			}
			if got := s.told(); len(got) > 0 {
				t.Errorf("told again: %v", got)
			}
			if stale.Status.Phase != "" {
				t.Errorf("what was not written is remembered: %+v", stale.Status)
			}
		})
	}
}

// approval is the only MeshApproval.
func (s *steering) approval() *meshv1alpha1.MeshApproval {
	s.t.Helper()
	found := &meshv1alpha1.MeshApprovalList{}
	testutil.Must(s.t, s.r.Client.List(s.t.Context(), found))
	if len(found.Items) != 1 {
		s.t.Fatalf("%d approvals, want one", len(found.Items))
	}
	return &found.Items[0]
}

// hasCondition checks a condition that sums an object up.
func hasCondition(t *testing.T, conditions []metav1.Condition, kind, reason string, generation int64) {
	t.Helper()
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != reason || c.ObservedGeneration != generation {
		t.Errorf("%s is %+v, want it True with reason %s of generation %d", kind, c, reason, generation)
	}
}

// TestAnApprovalShowsWhatBecameOfIt follows a question from when it is asked until the upgrade has acted on the answer.
func TestAnApprovalShowsWhatBecameOfIt(t *testing.T) {
	s := newSteering(t)
	s.inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", Approval: meshv1alpha1.ApprovalRequired}}
	s.pass()
	s.pass()
	u := s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionStalled, meshv1alpha1.ReasonWaitingForApproval, u.Generation)
	a := s.approval()
	hasCondition(t, a.Status.Conditions, meshv1alpha1.ConditionStalled, meshv1alpha1.ReasonWaitingForDecision, a.Generation)
	a.Spec.Decision = meshv1alpha1.DecisionApproved
	testutil.Must(t, s.r.Client.Update(t.Context(), a))
	s.pass()
	a = s.approval()
	hasCondition(t, a.Status.Conditions, meshv1alpha1.ConditionUsed, meshv1alpha1.ReasonWaveApproved, a.Generation)
	u = s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionReconciling, meshv1alpha1.ReasonUpgrading, u.Generation)
	s.pass()
	if again, same := s.records()[0], s.approval(); again.ResourceVersion != u.ResourceVersion || same.ResourceVersion != a.ResourceVersion {
		t.Error("a pass in which nothing changed has written a status")
	}
}

// TestAnUpgradeThatWaitsForPermissionsIsNotDone wants conditions from the first pass on: whoever watches a record that has none takes
// it for one that is done.
func TestAnUpgradeThatWaitsForPermissionsIsNotDone(t *testing.T) {
	s := newSteering(t)
	s.members[0].Spec.ReaderVersion = "1.0.0"
	s.pass()
	u := s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionReconciling, meshv1alpha1.ReasonUpgrading, u.Generation)
	if u.Status.Phase != "" || u.Status.StartedAt != nil {
		t.Errorf("the upgrade is %q since %s, want it not to have begun", u.Status.Phase, u.Status.StartedAt)
	}
}

// TestAPlanShowsThatItWaits follows a plan until it may begin, and wants one write at most for what does not change.
func TestAPlanShowsThatItWaits(t *testing.T) {
	s := newSteering(t)
	s.inst.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan
	s.pass()
	u := s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionReconciling, meshv1alpha1.ReasonUpgradePlanned, u.Generation)
	for i := range s.members {
		m := &s.members[i]
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: u.Name, Stage: meshv1alpha1.StagePreflight}
		m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: u.Name, Stage: meshv1alpha1.StagePreflight, State: meshv1alpha1.StageDone}
		m.Status.Rollout.Changes.Hash = "a"
	}
	s.pass()
	u = s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionStalled, meshv1alpha1.ReasonUpgradePlanned, u.Generation)
	s.inst.Spec.Upgrade.Mode, s.inst.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeLocked, "another"
	s.pass()
	u = s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionStalled, meshv1alpha1.ReasonPlanRefused, u.Generation)
	s.inst.Spec.Upgrade.PlanHash = u.Status.Plan.Hash
	s.members[0].Spec.ReaderVersion = "1.0.0"
	s.pass()
	u = s.records()[0]
	hasCondition(t, u.Status.Conditions, meshv1alpha1.ConditionReconciling, meshv1alpha1.ReasonUpgrading, u.Generation)
	s.pass()
	if again := s.records()[0]; again.ResourceVersion != u.ResourceVersion {
		t.Error("a pass in which nothing changed has written the status")
	}
}

// TestTheMeshHasArrived takes over what every member runs, also when another target ended the upgrade before it had soaked.
// TestMembersOfADeletedRecordAreNotPromoted wants them to wait for a record that may be late, and to go back then.
func TestMembersOfADeletedRecordAreNotPromoted(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		from, to := meshv1alpha1.Revision{Name: "1-28-3", Version: "1.28.3"}, meshv1alpha1.Revision{Name: "1-29-1", Version: "1.29.1"}
		m.Spec.Revisions, m.Spec.DefaultRevision = []meshv1alpha1.Revision{from, to}, to.Name
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "shop-1", From: from, To: to, Stage: meshv1alpha1.StageWorkloads}
	})
	r, now := hubReconciler(t), testutil.Now
	r.Now = func() time.Time { return now }
	for _, want := range []meshv1alpha1.Stage{meshv1alpha1.StageWorkloads, meshv1alpha1.StageRollback} {
		run, told, err := r.upgrade(t.Context(), inst, testutil.Members(east), false)
		if err != nil || run == nil || run.Orders["east"] != want {
			t.Fatalf("run %+v, %v, want stage %s", run, err, want)
		}
		if len(told) != 1 || told[0].Result.Reason != meshv1alpha1.ReasonRollingBack || !strings.Contains(told[0].Result.Text(), "rolled back: east") {
			t.Errorf("told %+v", told)
		}
		now = now.Add(3 * time.Minute)
	}
}

func TestTheMeshHasArrived(t *testing.T) {
	to, other := meshv1alpha1.RevisionMembers{Name: "1-29-1", Members: 2}, meshv1alpha1.RevisionMembers{Name: "1-28-3", Members: 1}
	for name, c := range map[string]struct {
		phase   meshv1alpha1.UpgradePhase
		running []meshv1alpha1.RevisionMembers
		want    bool
	}{
		"it has succeeded":                  {meshv1alpha1.UpgradeSucceeded, []meshv1alpha1.RevisionMembers{other, to}, true},
		"it was ended, and all have moved":  {meshv1alpha1.UpgradeStopped, []meshv1alpha1.RevisionMembers{to}, true},
		"it was ended, and some have moved": {meshv1alpha1.UpgradeStopped, []meshv1alpha1.RevisionMembers{other, to}, false},
		"it went back":                      {meshv1alpha1.UpgradeRolledBack, []meshv1alpha1.RevisionMembers{other}, false},
		"it goes on":                        {meshv1alpha1.UpgradeRunning, []meshv1alpha1.RevisionMembers{to}, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := &meshv1alpha1.MeshUpgrade{}
			u.Status.Phase, u.Spec.To.Revision = c.phase, "1-29-1"
			if got := hasArrived(c.running, u); got != c.want {
				t.Errorf("has arrived: %t, want %t", got, c.want)
			}
		})
	}
}

// TestARestartFailsNobody gives members their deadline anew: an operator that was down has not seen what they did.
func TestARestartFailsNobody(t *testing.T) {
	s := newSteering(t)
	s.pass()
	u := &s.records()[0]
	long := metav1.NewTime(testutil.Now.Add(-2 * time.Hour))
	for _, m := range s.members {
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].LastTransitionTime = long
		}
	}
	s.members[0].Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: u.Name, Stage: meshv1alpha1.StageInstall, OrderedAt: long}
	s.members[0].Status.Rollout = &meshv1alpha1.MemberRolloutStatus{
		Upgrade: u.Name, Stage: meshv1alpha1.StageInstall, State: meshv1alpha1.StageProgressing, Since: long,
	}
	s.pass()
	if got := s.records()[0].Status.Phase; got != meshv1alpha1.UpgradeRunning {
		t.Errorf("just restarted, the upgrade is %s", got)
	}
	s.r.Now = func() time.Time { return testutil.Now.Add(31 * time.Minute) }
	s.pass()
	if got := s.records()[0].Status.Phase; got != meshv1alpha1.UpgradeRollingBack {
		t.Errorf("after the deadline the upgrade is %s: %s", got, s.records()[0].Status.Message)
	}
}

// TestAnUpgradeStandsStillWhileItsSuccessorHasNoCharts wants nothing to go on to a version that the spec does not ask for any more, although it
// is not known yet what it asks for.
func TestAnUpgradeStandsStillWhileItsSuccessorHasNoCharts(t *testing.T) {
	s := newSteering(t)
	s.pass()
	if got := s.held(); got.Reason != meshv1alpha1.ReasonUpgrading {
		t.Errorf("held, with the same version, people are told: %s: %s", got.Reason, got.Text())
	}
	s.inst.Spec.Version, s.inst.Spec.Charts = "1.29.7", &meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio"}
	before := s.records()[0].Status.Phase
	if got := s.held(); got.Reason != meshv1alpha1.ReasonChartsFetching || !strings.Contains(got.Text(), "no member goes on") {
		t.Errorf("held, people are told: %s: %s", got.Reason, got.Text())
	}
	u := &s.records()[0]
	if u.Status.Phase != before || u.Status.Cause != "" {
		t.Errorf("the upgrade is %s (%s), was %s", u.Status.Phase, u.Status.Cause, before)
	}
	s.order(u, meshv1alpha1.UpgradeActionAbort)
	s.held()
	if u = &s.records()[0]; u.Status.Cause != meshv1alpha1.CauseAborted {
		t.Errorf("aborted, the upgrade is %s (%s)", u.Status.Phase, u.Status.Cause)
	}
}

// TestNothingStartsWithoutCharts wants a change of the spec to wait, and not to need a person.
func TestNothingStartsWithoutCharts(t *testing.T) {
	s := newSteering(t)
	s.inst.Spec.Version, s.inst.Spec.Charts = "1.29.7", &meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio"}
	if got := s.held(); got.Reason != meshv1alpha1.ReasonChartsFetching || got.Kind != phase.Wait || len(s.records()) != 0 {
		t.Errorf("people are told: %v %s: %s; %d records", got.Kind, got.Reason, got.Text(), len(s.records()))
	}
}

// held is pass while the charts of the spec's version are not ready.
func (s *steering) held() phase.Result {
	s.t.Helper()
	_, told, err := s.r.upgrade(s.t.Context(), s.inst, s.members, true)
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Worst(told).Result
}
