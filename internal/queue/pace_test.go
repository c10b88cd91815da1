package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestMembersCauseOnePassASecond counts the passes over an installation while its members report a hundred times a second.
func TestMembersCauseOnePassASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := types.NamespacedName{Namespace: "meshes", Name: "shop"}
		toMesh := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: key}}
		})
		q := priorityqueue.New[reconcile.Request]("test")
		p := &Pace{}
		var passes atomic.Int32
		go func() {
			for {
				r, isShutDown := q.Get()
				if isShutDown {
					return
				}
				passes.Add(1)
				p.Began(r.NamespacedName, time.Now())
				q.Done(r)
			}
		}()
		report := func(version string) {
			m := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: "meshes", Name: "shop-east", ResourceVersion: version}}
			old := m.DeepCopy()
			old.ResourceVersion = "old"
			Spread(p, func(r reconcile.Request) types.NamespacedName { return r.NamespacedName }, toMesh).Update(t.Context(), event.UpdateEvent{ObjectOld: old, ObjectNew: m}, q)
		}
		report("1")
		synctest.Wait()
		if got := passes.Load(); got != 1 {
			t.Fatalf("%d passes after the first report, want one at once", got)
		}
		const seconds = 10
		for range seconds * 100 {
			report("2")
			time.Sleep(10 * time.Millisecond)
		}
		if got := passes.Load(); got < seconds-1 || got > seconds+1 {
			t.Errorf("%d passes in %d seconds, want one each second", got, seconds)
		}
		report("3")
		before := passes.Load()
		time.Sleep(LeastPace)
		synctest.Wait()
		if got := passes.Load(); got != before+1 {
			t.Errorf("%d passes after the last report, want one", got-before)
		}
		// What people change does not wait.
		before = passes.Load()
		q.Add(reconcile.Request{NamespacedName: key})
		synctest.Wait()
		if got := passes.Load(); got != before+1 {
			t.Errorf("%d passes after a change of the spec, want one at once", got-before)
		}
		q.ShutDown()
	})
}
