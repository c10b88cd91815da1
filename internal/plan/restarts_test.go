package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var restartsAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type restartOption func(*meshv1alpha1.MeshMember)

// restartMember serves, is reachable, and reads token files.
func restartMember(name string, options ...restartOption) meshv1alpha1.MeshMember {
	m := testutil.Member(name)
	m.Spec.ReaderTokens = meshv1alpha1.ReaderTokensFile
	m.Status.Trust.RootFingerprints = []string{"a"}
	meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{Type: meshv1alpha1.ConditionReachable, Status: metav1.ConditionTrue, Reason: "Connected"})
	for _, o := range options {
		o(m)
	}
	return *m
}

func inlineTokens(m *meshv1alpha1.MeshMember) { m.Spec.ReaderTokens = "" }

func peerStuck(m *meshv1alpha1.MeshMember) {
	m.Status.Discovery.RestartNeeded = &meshv1alpha1.RestartNeed{Reason: meshv1alpha1.ReasonPeerStuck, Message: "west (closed)"}
}

func cutOff(m *meshv1alpha1.MeshMember) {
	meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{Type: meshv1alpha1.ConditionReachable, Status: metav1.ConditionUnknown, Reason: "ConnectionDown"})
}

func neverServed(m *meshv1alpha1.MeshMember) { m.Status.Trust.RootFingerprints = nil }

func leavesWith(removal meshv1alpha1.MemberRemoval) restartOption {
	return func(m *meshv1alpha1.MeshMember) { m.Spec.Removal = removal }
}

func inStage(stage meshv1alpha1.Stage) restartOption {
	return func(m *meshv1alpha1.MeshMember) { m.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: stage} }
}

func restartOrdered(ago time.Duration, attempt int32, done bool) restartOption {
	return func(m *meshv1alpha1.MeshMember) {
		at := metav1.NewTime(restartsAt.Add(-ago))
		m.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: at, Attempt: attempt}
		if done {
			m.Status.Discovery.RestartedAt = &at
		}
	}
}

func TestOrderRestarts(t *testing.T) {
	east, west := "east", "west"
	cases := map[string]struct {
		members     []meshv1alpha1.MeshMember
		wantOrdered string
		wantAttempt int32
		wantWaiting string
	}{
		"nothing is needed": {members: []meshv1alpha1.MeshMember{restartMember(east), restartMember(west)}},
		"a stuck peer is remedied": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west)},
			wantOrdered: east, wantAttempt: 1,
		},
		"one member at a time": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, inlineTokens), restartMember(west, inlineTokens)},
			wantOrdered: east, wantAttempt: 1, wantWaiting: "in 1 members (west)",
		},
		"a stuck peer comes before tokens that end": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, inlineTokens), restartMember(west, peerStuck)},
			wantOrdered: west, wantAttempt: 1, wantWaiting: "TokensInline",
		},
		"the next one waits until the first is proved": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, restartOrdered(time.Minute, 1, false)), restartMember(west, inlineTokens)},
			wantWaiting: "istiod is being restarted in east",
		},
		"then it is its turn": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, restartOrdered(time.Minute, 1, true)), restartMember(west, inlineTokens)},
			wantOrdered: west, wantAttempt: 1,
		},
		"not while a member is unreachable": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west, cutOff)},
			wantWaiting: "cannot be reached: west",
		},
		"a newcomer that cannot be reached is in nobody's way": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west, cutOff, neverServed)},
			wantOrdered: east, wantAttempt: 1,
		},
		"not while an upgrade changes a member": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west, inStage(meshv1alpha1.StageWorkloads))},
			wantWaiting: "an upgrade changes a member: west",
		},
		"but while one soaks": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west, inStage(meshv1alpha1.StageSoak))},
			wantOrdered: east, wantAttempt: 1,
		},
		"one that leaves serves until its workloads are gone": {
			members:     []meshv1alpha1.MeshMember{restartMember(east), restartMember(west, peerStuck, leavesWith(meshv1alpha1.RemovalWhenUnused))},
			wantOrdered: west, wantAttempt: 1,
		},
		"one that is taken out needs nothing": {
			members: []meshv1alpha1.MeshMember{restartMember(east), restartMember(west, peerStuck, leavesWith(meshv1alpha1.RemovalNow))},
		},
		"one that is taken out holds no other, reachable or not": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck), restartMember(west, cutOff, leavesWith(meshv1alpha1.RemovalNow))},
			wantOrdered: east, wantAttempt: 1,
		},
		"not again at once": {
			members: []meshv1alpha1.MeshMember{restartMember(east, peerStuck, restartOrdered(9*time.Minute, 1, true)), restartMember(west)},
		},
		"but after ten minutes": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck, restartOrdered(10*time.Minute, 1, true)), restartMember(west)},
			wantOrdered: east, wantAttempt: 1,
		},
		"one that helped nothing is tried again": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck, restartOrdered(16*time.Minute, 1, false)), restartMember(west)},
			wantOrdered: east, wantAttempt: 2,
		},
		"ever more slowly": {
			members: []meshv1alpha1.MeshMember{restartMember(east, peerStuck, restartOrdered(70*time.Minute, 4, false)), restartMember(west)},
		},
		"every six hours at least": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, peerStuck, restartOrdered(6*time.Hour, 40, false)), restartMember(west)},
			wantOrdered: east, wantAttempt: 41,
		},
		"one that is late holds no other": {
			members:     []meshv1alpha1.MeshMember{restartMember(east, restartOrdered(time.Hour, 1, false)), restartMember(west, inlineTokens)},
			wantOrdered: west, wantAttempt: 1,
		},
		"two that are late do": {
			members: []meshv1alpha1.MeshMember{
				restartMember(east, restartOrdered(time.Hour, 1, false)), restartMember("south", restartOrdered(time.Hour, 1, false)), restartMember(west, inlineTokens),
			},
			wantWaiting: "have not been proved within 15m0s in east, south",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := plan.MembersPlan{}
			for i := range c.members {
				if m := *c.members[i].DeepCopy(); mesh.IsLeaving(&m) {
					p.Leaving = append(p.Leaving, m)
				} else {
					p.Desired = append(p.Desired, m)
				}
			}
			waiting := plan.OrderRestarts(&p, c.members, restartsAt)
			if (waiting == "") != (c.wantWaiting == "") || !strings.Contains(waiting, c.wantWaiting) {
				t.Errorf("waiting is %q, want %q in it", waiting, c.wantWaiting)
			}
			ordered := ""
			for _, d := range slices.Concat(p.Desired, p.Leaving) {
				if o := d.Spec.IstiodRestart; o != nil && o.OrderedAt.Time.Equal(restartsAt) {
					ordered += d.Spec.Cluster
					if o.Attempt != c.wantAttempt || o.Reason == "" || d.Spec.ReaderTokens != meshv1alpha1.ReaderTokensFile {
						t.Errorf("order is %+v with tokens %q, want attempt %d", o, d.Spec.ReaderTokens, c.wantAttempt)
					}
				}
			}
			if ordered != c.wantOrdered {
				t.Errorf("ordered in %q, want %q", ordered, c.wantOrdered)
			}
		})
	}
}

// A fleet is restarted one by one, each as soon as the former is proved, and the orders stay in the work orders.
func TestOrderRestartsGoesThroughAFleet(t *testing.T) {
	inst := testutil.Installation()
	var members []meshv1alpha1.MeshMember
	for i := range 20 {
		name := fmt.Sprintf("m%02d", i)
		inst.Spec.Members = append(inst.Spec.Members, meshv1alpha1.Member{Name: name})
		m := restartMember(name, inlineTokens)
		m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: m.Spec.DefaultRevision, Version: m.Spec.Revisions[0].Version, ReadyReplicas: 1}}
		members = append(members, m)
	}
	now := restartsAt
	for range 100 {
		p, err := plan.Members(inst, members, nil)
		if err != nil {
			t.Fatal(err)
		}
		waiting := plan.OrderRestarts(&p, members, now)
		restarting := 0
		for i := range p.Desired {
			members[i].Spec = p.Desired[i].Spec
			if mesh.IsRestarting(&members[i]) {
				restarting++
			}
		}
		if restarting > 1 {
			t.Fatalf("%d members are restarted at the same time", restarting)
		}
		if restarting == 0 && waiting == "" {
			for i := range members {
				if !mesh.ReadsTokenFiles(&members[i].Spec) {
					t.Errorf("member %s was left out", members[i].Name)
				}
			}
			return
		}
		for i := range members {
			if o := members[i].Spec.IstiodRestart; o != nil {
				members[i].Status.Discovery.RestartedAt = o.OrderedAt.DeepCopy()
			}
		}
		now = now.Add(time.Minute)
	}
	t.Error("it never ends")
}

func TestNewMembersReadTokenFiles(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	p, err := plan.Members(inst, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Desired[0].Spec; !mesh.ReadsTokenFiles(&got) || got.IstiodRestart != nil {
		t.Errorf("tokens are %q, restart %v", got.ReaderTokens, got.IstiodRestart)
	}
}
