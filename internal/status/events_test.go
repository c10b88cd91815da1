package status

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// recorded are the events that were written.
func recorded(r *events.FakeRecorder) []string {
	var out []string
	for {
		select {
		case e := <-r.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func TestEventsAreTransitions(t *testing.T) {
	ready := condition("Ready", metav1.ConditionTrue, "Ready", "all holds")
	working := condition("Ready", metav1.ConditionUnknown, "Progressing", "istiod starts")
	failed := condition("Ready", metav1.ConditionFalse, "Retrying", "refused")
	reachable := condition("Reachable", metav1.ConditionTrue, "Connected", "it answers")
	down := condition("Reachable", metav1.ConditionFalse, "ConnectionDown", "no route")
	stalled := condition("Stalled", metav1.ConditionTrue, "InvalidValues", "no such value")
	claimed := condition("Stalled", metav1.ConditionTrue, "ClusterClaimed", "another's")
	type states = []metav1.Condition
	cases := map[string]struct {
		before, after states
		want          []string
	}{
		"nothing changes":                     {states{ready, reachable, stalled}, states{ready, reachable, stalled}, nil},
		"becomes ready at first":              {nil, states{ready}, []string{"Normal BecameReady Became Ready: all holds"}},
		"becomes ready":                       {states{working}, states{ready}, []string{"Normal BecameReady Became Ready: all holds"}},
		"is not ready at first":               {nil, states{working}, nil},
		"is ready no longer":                  {states{ready}, states{failed}, []string{"Warning Retrying No longer Ready: refused"}},
		"a failure that persists":             {states{failed}, states{failed}, nil},
		"a failure that is worked on":         {states{failed}, states{working}, nil},
		"another reason for not being ready":  {states{failed}, states{condition("Ready", metav1.ConditionFalse, "Other", "other")}, nil},
		"reached":                             {nil, states{reachable}, []string{"Normal BecameReachable Became Reachable: it answers"}},
		"reached no longer":                   {states{reachable}, states{down}, []string{"Warning ConnectionDown No longer Reachable: no route"}},
		"stalls":                              {nil, states{stalled}, []string{"Warning InvalidValues Stalled: no such value"}},
		"stalls for another reason":           {states{stalled}, states{claimed}, []string{"Warning ClusterClaimed Stalled: another's"}},
		"stalls no longer":                    {states{stalled}, nil, nil},
		"other conditions are for the status": {nil, states{condition("GatewaysReady", metav1.ConditionTrue, "Ready", "serves")}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, testutil.Member("east", memberConditions(c.before)), testutil.Member("east", memberConditions(c.after)))
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events of a member (-want +got):\n%s", diff)
			}
			before, after := testutil.Installation(), testutil.Installation()
			before.Status.Conditions, after.Status.Conditions = c.before, c.after
			RecordInstallation(r, before, after)
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events of an installation (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEventsOfExpiries wants a warning for each new fact about an expiry, of the object that it is about.
func TestEventsOfExpiries(t *testing.T) {
	current := condition("CredentialCurrent", metav1.ConditionTrue, "Ready", "in a year")
	expiring := condition("CredentialCurrent", metav1.ConditionFalse, "CredentialExpiring", "in 6 days")
	expired := condition("CredentialCurrent", metav1.ConditionFalse, "CredentialExpired", "an hour ago")
	type states = []metav1.Condition
	cases := map[string]struct {
		before, after states
		want          []string
	}{
		"it expires in a year":  {nil, states{current}, nil},
		"it begins to expire":   {states{current}, states{expiring}, []string{"Warning CredentialExpiring CredentialCurrent became False: in 6 days"}},
		"it expires from first": {nil, states{expiring}, []string{"Warning CredentialExpiring CredentialCurrent became False: in 6 days"}},
		"it expires still":      {states{expiring}, states{expiring}, nil},
		"it has expired":        {states{expiring}, states{expired}, []string{"Warning CredentialExpired CredentialCurrent became False: an hour ago"}},
		"it was renewed":        {states{expired}, states{current}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, testutil.Member("east", memberConditions(c.before)), testutil.Member("east", memberConditions(c.after)))
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events of a member (-want +got):\n%s", diff)
			}
			before, after := testutil.Installation(), testutil.Installation()
			before.Status.Conditions, after.Status.Conditions = c.before, c.after
			RecordInstallation(r, before, after)
			if got := recorded(r); len(got) > 0 {
				t.Errorf("the members' own events are repeated: %v", got)
			}
		})
	}
	r := events.NewFakeRecorder(10)
	after := testutil.Installation()
	after.Status.Conditions = states{condition("TrustRootCurrent", metav1.ConditionFalse, "RootExpiring", "in 300 days")}
	RecordInstallation(r, testutil.Installation(), after)
	if diff := cmp.Diff([]string{"Warning RootExpiring TrustRootCurrent became False: in 300 days"}, recorded(r)); diff != "" {
		t.Errorf("events of the root (-want +got):\n%s", diff)
	}
}

func memberConditions(c []metav1.Condition) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) { m.Status.Conditions = c }
}

func TestEventOfTheGatewayIsWrittenOnce(t *testing.T) {
	announced := func(m *meshv1alpha1.MeshMember) {
		m.Status.Gateway = meshv1alpha1.GatewayStatus{Addresses: []string{"203.0.113.7"}, Announced: &metav1.Time{Time: now}}
	}
	r := events.NewFakeRecorder(10)
	RecordMember(r, testutil.Member("east"), testutil.Member("east", announced))
	RecordMember(r, testutil.Member("east", announced), testutil.Member("east", announced))
	RecordMember(r, testutil.Member("east", announced), testutil.Member("east"))
	want := []string{"Normal GatewayAnnounced Announced the east-west gateway at 203.0.113.7 to peers"}
	if diff := cmp.Diff(want, recorded(r)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEventsOfRevisionsThatRetire(t *testing.T) {
	retiring := func(count int32, names ...string) func(*meshv1alpha1.MeshMember) {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Retiring = []meshv1alpha1.RetiringRevision{{Name: "1-28-3", Users: meshv1alpha1.Sample{Count: count, Names: names}}}
		}
	}
	wanted := func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Name: "1-28-3"})
	}
	nothing := func(*meshv1alpha1.MeshMember) {}
	for name, c := range map[string]struct {
		before, after func(*meshv1alpha1.MeshMember)
		want          []string
	}{
		"something uses it":             {nothing, retiring(2, "demo/bare"), []string{"Normal RevisionStillUsed Kept revision 1-28-3: still used by demo/bare and 1 more"}},
		"something else uses it":        {retiring(1, "demo/bare"), retiring(1, "demo/job"), nil},
		"nothing uses it, it is going":  {nothing, retiring(0), nil},
		"it is gone":                    {retiring(1, "demo/bare"), nothing, []string{"Normal RevisionRemoved Removed revision 1-28-3"}},
		"it is wanted again":            {retiring(1, "demo/bare"), wanted, nil},
		"what went is used at the last": {retiring(0), retiring(1, "demo/bare"), []string{"Normal RevisionStillUsed Kept revision 1-28-3: still used by demo/bare"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, testutil.Member("east", c.before), testutil.Member("east", c.after))
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEventOfAnotherWriterIsWrittenOnce tells of another client when it begins, not in each pass.
func TestEventOfAnotherWriterIsWrittenOnce(t *testing.T) {
	alone, contested := testutil.Conditions("SoleWriter=True Ready"), testutil.Conditions("SoleWriter=False ObjectsContested")
	nothing := func(*meshv1alpha1.MeshMember) {}
	for name, c := range map[string]struct {
		before, after func(*meshv1alpha1.MeshMember)
		want          int
	}{
		"it begins":                       {alone, contested, 1},
		"it begins in an unknown member":  {nothing, contested, 1},
		"it goes on":                      {contested, contested, 0},
		"it ends":                         {contested, alone, 0},
		"the member was not asked before": {nothing, alone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, testutil.Member("east", c.before), testutil.Member("east", c.after))
			if got := recorded(r); len(got) != c.want || c.want == 1 && !strings.HasPrefix(got[0], "Warning ObjectsContested Another client changes objects of the mesh") {
				t.Errorf("events %q, want %d", got, c.want)
			}
		})
	}
}

func TestEventOfTheVersionIsWrittenOnce(t *testing.T) {
	serves := func(inst *meshv1alpha1.MeshInstallation) { inst.Status.EffectiveVersion = "1.29.1" }
	r := events.NewFakeRecorder(10)
	RecordInstallation(r, testutil.Installation(), testutil.Installation(serves))
	RecordInstallation(r, testutil.Installation(serves), testutil.Installation(serves))
	want := []string{"Normal VersionInForce First control plane of Istio 1.29.1 served"}
	if diff := cmp.Diff(want, recorded(r)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEventsTellWhatPeopleDid(t *testing.T) {
	did := func(second int, action meshv1alpha1.InterventionAction, by, wave string) meshv1alpha1.Intervention {
		return meshv1alpha1.Intervention{At: metav1.NewTime(now.Add(time.Duration(second) * time.Second)), Action: action, By: by, Wave: wave}
	}
	paused := did(1, meshv1alpha1.ActionPause, meshv1alpha1.ByAnnotation, "")
	resumed := did(2, meshv1alpha1.ActionResume, meshv1alpha1.ByAnnotation, "")
	approved := did(3, meshv1alpha1.ActionApprove, "MeshApproval shop-1-eu", "eu")
	type list = []meshv1alpha1.Intervention
	cases := map[string]struct {
		before, after list
		retry         *meshv1alpha1.UpgradeRetry
		want          []string
	}{
		"nothing is new":    {before: list{paused, resumed}, after: list{paused, resumed}},
		"a pause":           {after: list{paused}, want: []string{"Normal Paused Paused by the annotation mesh.meshfleet.io/action"}},
		"it goes on":        {before: list{paused}, after: list{paused, resumed}, want: []string{"Normal Resumed Resumed by the annotation mesh.meshfleet.io/action"}},
		"an abort":          {before: list{paused}, after: list{paused, did(3, meshv1alpha1.ActionAbort, meshv1alpha1.ByState, "")}, want: []string{"Normal Aborted Aborted by spec.upgrade.state"}},
		"a wave may start":  {after: list{approved}, want: []string{`Normal WaveApproved Wave "eu" was approved by MeshApproval shop-1-eu`}},
		"a wave may not":    {after: list{did(3, meshv1alpha1.ActionReject, "MeshApproval shop-1-eu", "eu")}, want: []string{`Normal WaveRejected Wave "eu" was rejected by MeshApproval shop-1-eu`}},
		"another try":       {after: list{did(0, meshv1alpha1.ActionRetry, meshv1alpha1.ByAttempt, "")}, retry: &meshv1alpha1.UpgradeRetry{Of: "shop-1", By: meshv1alpha1.ByAttempt}, want: []string{"Normal Retried Started to retry MeshUpgrade shop-1, requested by spec.upgrade.attempt"}},
		"two at once":       {before: list{paused}, after: list{paused, resumed, approved}, want: []string{"Normal Resumed Resumed by the annotation mesh.meshfleet.io/action", `Normal WaveApproved Wave "eu" was approved by MeshApproval shop-1-eu`}},
		"the oldest is out": {before: list{paused, resumed}, after: list{resumed, approved}, want: []string{`Normal WaveApproved Wave "eu" was approved by MeshApproval shop-1-eu`}},
		"the same once more, later": {before: list{paused, resumed}, after: list{paused, resumed, did(9, meshv1alpha1.ActionPause, meshv1alpha1.ByAnnotation, "")},
			want: []string{"Normal Paused Paused by the annotation mesh.meshfleet.io/action"}},
		"the same again within a second": {before: list{paused}, after: list{paused, paused}, want: []string{"Normal Paused Paused by the annotation mesh.meshfleet.io/action"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			before, after := &meshv1alpha1.MeshUpgrade{}, &meshv1alpha1.MeshUpgrade{}
			before.Status.Interventions, after.Status.Interventions, after.Spec.Retry = c.before, c.after, c.retry
			RecordUpgrade(r, before, after)
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatPeopleDidIsToldBeforeWhatFollows(t *testing.T) {
	r := events.NewFakeRecorder(10)
	before, after := &meshv1alpha1.MeshUpgrade{}, &meshv1alpha1.MeshUpgrade{}
	after.Status.Phase, after.Status.Message = meshv1alpha1.UpgradeRollingBack, "aborted"
	after.Status.Interventions = []meshv1alpha1.Intervention{{Action: meshv1alpha1.ActionAbort, By: meshv1alpha1.ByAnnotation}}
	RecordUpgrade(r, before, after)
	want := []string{"Normal Aborted Aborted by the annotation mesh.meshfleet.io/action", "Warning UpgradeRollingBack Phase changed to RollingBack: aborted"}
	if diff := cmp.Diff(want, recorded(r)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestLongMessages cuts what an API server would reject, and never within a letter.
func TestLongMessages(t *testing.T) {
	before, after := &meshv1alpha1.MeshUpgrade{}, &meshv1alpha1.MeshUpgrade{}
	after.Status.Phase, after.Status.Message = meshv1alpha1.UpgradeRollingBack, strings.Repeat("→", 1000)
	r := events.NewFakeRecorder(1)
	RecordUpgrade(r, before, after)
	got := recorded(r)
	if len(got) != 1 {
		t.Fatalf("%d events, want one", len(got))
	}
	note := strings.TrimPrefix(got[0], "Warning UpgradeRollingBack ")
	if len(note) > 1024 || !utf8.ValidString(note) || !strings.HasSuffix(note, "→…") {
		t.Errorf("%d bytes that end in %q, want 1024 at most", len(note), note[len(note)-8:])
	}
}

func TestEventsOfKeptTags(t *testing.T) {
	keeps := func(m *meshv1alpha1.MeshMember) {
		m.Status.KeptTags = []meshv1alpha1.KeptTag{{Name: "prod", Holders: meshv1alpha1.Sample{Count: 12, Names: []string{
			"Namespace a", "Namespace b", "Namespace c", "Namespace d", "Namespace e", "Namespace f"}}}}
	}
	names := func(m *meshv1alpha1.MeshMember) { m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: "1-28-3"}} }
	cases := map[string]struct {
		before, after *meshv1alpha1.MeshMember
		want          []string
	}{
		"begins to be kept": {testutil.Member("east"), testutil.Member("east", keeps), []string{
			`Warning TagKept Kept tag "prod", which is no longer in spec.dataPlane.tags: named by the label istio.io/rev of ` +
				`Namespace a, Namespace b, Namespace c, Namespace d, Namespace e, Namespace f and 6 more`}},
		"is kept":        {testutil.Member("east", keeps), testutil.Member("east", keeps), nil},
		"goes":           {testutil.Member("east", keeps), testutil.Member("east"), []string{`Normal TagRemoved Removed tag "prod": no object names it any more`}},
		"is named again": {testutil.Member("east", keeps), testutil.Member("east", names), []string{`Normal TagAdopted Adopted tag "prod": it is in spec.dataPlane.tags again`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, c.before, c.after)
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventsOfAMemberThatLeaves(t *testing.T) {
	removal := func(m meshv1alpha1.MemberRemoval, st *meshv1alpha1.MemberRemovalStatus) *meshv1alpha1.MeshMember {
		return testutil.Member("east", func(o *meshv1alpha1.MeshMember) { o.Spec.Removal, o.Status.Removal = m, st })
	}
	proxies := func(n int32) *meshv1alpha1.MemberRemovalStatus { return &meshv1alpha1.MemberRemovalStatus{Proxies: n} }
	const later, at = meshv1alpha1.RemovalWhenUnused, meshv1alpha1.RemovalNow
	cases := map[string]struct {
		before, after *meshv1alpha1.MeshMember
		want          []string
	}{
		"the wait begins":      {removal(later, nil), removal(later, proxies(12)), []string{"Warning RemovalWaits Started to wait for 12 pods with a proxy of the mesh before the member is removed"}},
		"the wait goes on":     {removal(later, proxies(12)), removal(later, proxies(3)), nil},
		"nobody had to wait":   {removal(later, nil), removal(later, proxies(0)), nil},
		"the wait ends":        {removal(later, proxies(3)), removal(later, proxies(0)), []string{"Normal RemovalUnblocked Stopped waiting for pods: no proxy of the mesh runs in the member"}},
		"the wait is cut":      {removal(at, proxies(3)), removal(at, nil), []string{"Warning RemovalForced Stopped waiting for 3 pods with a proxy of the mesh: spec.deletionPolicy is Force"}},
		"the member stays":     {removal("", proxies(3)), removal("", nil), []string{"Normal RemovalCancelled Stopped waiting for pods: the member is not removed"}},
		"nothing of it is new": {removal("", nil), removal("", nil), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			RecordMember(r, c.before, c.after)
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEventsOfHolds wants a warning when the time of a hold passes, also when another one's does.
func TestEventsOfHolds(t *testing.T) {
	current := condition("HoldsCurrent", metav1.ConditionTrue, "Ready", "2 members are held: east, west")
	one := condition("HoldsCurrent", metav1.ConditionFalse, "HoldOverdue", "west")
	both := condition("HoldsCurrent", metav1.ConditionFalse, "HoldOverdue", "east, west")
	warning := func(names string) []string {
		return []string{"Warning HoldOverdue Held for longer than agreed: " + names}
	}
	for name, c := range map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"held":                   {nil, []metav1.Condition{current}, nil},
		"the time passes":        {[]metav1.Condition{current}, []metav1.Condition{one}, warning("west")},
		"has passed at first":    {nil, []metav1.Condition{one}, warning("west")},
		"has passed before":      {[]metav1.Condition{one}, []metav1.Condition{one}, nil},
		"another one passes":     {[]metav1.Condition{one}, []metav1.Condition{both}, warning("east, west")},
		"the holds are extended": {[]metav1.Condition{both}, []metav1.Condition{current}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			before, after := testutil.Installation(), testutil.Installation()
			before.Status.Conditions, after.Status.Conditions = c.before, c.after
			RecordInstallation(r, before, after)
			if diff := cmp.Diff(c.want, recorded(r)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
