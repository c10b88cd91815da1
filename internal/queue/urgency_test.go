package queue

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// at is a member that serves, at a stage of an upgrade.
func at(name string, stage meshv1alpha1.Stage) *meshv1alpha1.MeshMember {
	return testutil.Member(name, testutil.Root("aa"), func(m *meshv1alpha1.MeshMember) {
		if stage != "" {
			m.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: stage}
		}
	})
}

func requestOf(m *meshv1alpha1.MeshMember) mcreconcile.Request {
	return mcreconcile.Request{Request: reconcile.Request{NamespacedName: client.ObjectKeyFromObject(m)}}
}

func TestUrgencyOf(t *testing.T) {
	leaving := at("a", "")
	leaving.Spec.Removal = meshv1alpha1.RemovalNow
	restarting := at("a", meshv1alpha1.StageSoak)
	restarting.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now)}
	for name, c := range map[string]struct {
		member *meshv1alpha1.MeshMember
		want   int
	}{
		"nothing is under way":          {at("a", ""), looking},
		"a preflight only looks":        {at("a", meshv1alpha1.StagePreflight), looking},
		"so does soaking":               {at("a", meshv1alpha1.StageSoak), looking},
		"so does waiting to retire":     {at("a", meshv1alpha1.StageRetire), looking},
		"workloads move":                {at("a", meshv1alpha1.StageWorkloads), changing},
		"it is rolled back":             {at("a", meshv1alpha1.StageRollback), rollingBack},
		"it drops what failed":          {at("a", meshv1alpha1.StageDiscard), rollingBack},
		"it leaves":                     {leaving, beginning},
		"its istiod restarts":           {restarting, beginning},
		"it joins":                      {testutil.Member("a"), beginning},
		"it was served, and moves now":  {at("a", meshv1alpha1.StageGateways), changing},
		"a new revision is installed":   {at("a", meshv1alpha1.StageInstall), changing},
		"a stage of a newer operator":   {at("a", "Later"), looking},
		"no upgrade, but it has served": {testutil.Member("a", testutil.Root("aa")), looking},
	} {
		t.Run(name, func(t *testing.T) {
			if got := urgencyOf(c.member); got != c.want {
				t.Errorf("urgency %d, want %d", got, c.want)
			}
		})
	}
}

// TestARollbackDoesNotWait puts one member that is rolled back behind 300 that only look.
func TestARollbackDoesNotWait(t *testing.T) {
	for name, arrive := range map[string]func(*Urgencies, workqueue.TypedRateLimitingInterface[mcreconcile.Request], *meshv1alpha1.MeshMember){
		"by its new work order": func(u *Urgencies, q workqueue.TypedRateLimitingInterface[mcreconcile.Request], m *meshv1alpha1.MeshMember) {
			u.Own("", nil).Update(t.Context(), event.UpdateEvent{ObjectOld: at(m.Spec.Cluster, meshv1alpha1.StageSoak), ObjectNew: m}, q)
		},
		"by a timer": func(u *Urgencies, q workqueue.TypedRateLimitingInterface[mcreconcile.Request], m *meshv1alpha1.MeshMember) {
			u.Note(m)
			q.AddAfter(requestOf(m), time.Nanosecond)
		},
		"by an event in its cluster, after it was queued for less": func(u *Urgencies, q workqueue.TypedRateLimitingInterface[mcreconcile.Request], m *meshv1alpha1.MeshMember) {
			q.Add(requestOf(m))
			u.Note(m)
			q.Add(requestOf(m))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &Urgencies{}
				q := u.Queue("test", workqueue.DefaultTypedControllerRateLimiter[mcreconcile.Request]())
				for i := range 300 {
					q.Add(requestOf(at(fmt.Sprintf("member-%03d", i), "")))
				}
				m := at("west", meshv1alpha1.StageRollback)
				arrive(u, q, m)
				time.Sleep(time.Second)
				synctest.Wait()
				got, _ := q.Get()
				q.ShutDown()
				if got != requestOf(m) {
					t.Errorf("%s comes first, want the member that is rolled back", got.Name)
				}
			})
		})
	}
}

// TestUrgencyEnds lets a member that was urgent wait like others when it is not any more, although its queue item still has the priority.
func TestUrgencyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &Urgencies{}
		q, ok := u.Queue("test", workqueue.DefaultTypedControllerRateLimiter[mcreconcile.Request]()).(priorityqueue.PriorityQueue[mcreconcile.Request])
		if !ok {
			t.Fatal("the queue has no priorities: handlers would not use them")
		}
		m := at("west", meshv1alpha1.StageRollback)
		u.Note(m)
		q.Add(requestOf(m))
		synctest.Wait()
		r, priority, _ := q.GetWithPriority()
		if priority != rollingBack {
			t.Fatalf("priority %d, want %d", priority, rollingBack)
		}
		u.Note(at("west", ""))
		// As the controller does after a pass.
		q.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, r)
		q.Done(r)
		synctest.Wait()
		_, priority, _ = q.GetWithPriority()
		q.ShutDown()
		if priority != looking {
			t.Errorf("priority %d after the rollback, want %d", priority, looking)
		}
	})
}
