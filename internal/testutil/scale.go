package testutil

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Large builds a mesh of so many members that are all ready, each with all others as peers.
func Large(size int) (*meshv1alpha1.MeshInstallation, []meshv1alpha1.MeshMember) {
	name := func(i int) string { return fmt.Sprintf("member-%04d", i) }
	inst := Installation()
	inst.Status.Revision, inst.Status.EffectiveVersion = Revision, Version
	var peers []meshv1alpha1.Peer
	for i := range size {
		With(name(i))(inst)
		peers = append(peers, meshv1alpha1.Peer{Name: name(i), ReaderSecret: Mesh + "-" + name(i) + "-reader"})
	}
	var members []meshv1alpha1.MeshMember
	for i := range size {
		m := Member(name(i), Reached(1), Root("aa"))
		m.UID, m.ResourceVersion = "", "1"
		m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
		for j, p := range peers {
			if i != j {
				m.Spec.Peers = append(m.Spec.Peers, p)
				m.Status.Discovery.Peers = append(m.Status.Discovery.Peers, meshv1alpha1.PeerStatus{Name: p.Name, State: meshv1alpha1.PeerSynced})
			}
		}
		Ready()(m)
		members = append(members, *m)
	}
	return inst, members
}

// CheckGrowth fails when something takes far longer for a mesh of 1,000 members than for one of 250, or far more allocations. Four times as
// many members take 4 times as long if each takes a step, 16 times if each takes one for every other, and 64 times with three of them:
// these are 10⁹ steps, which take longer than a moment on any machine. Times are processor times, and the least of several: other processes
// disturb them the least.
func CheckGrowth(t *testing.T, mostAllocations float64, prepare func(size int) func()) {
	t.Helper()
	const (
		small, large, runs = 250, 1000, 3
		mostTimes, moment  = 32, time.Second / 2
	)
	measure := func(size int) (least time.Duration, allocations float64) {
		run := prepare(size)
		for range runs {
			start := processorTime(t)
			run()
			if took := processorTime(t) - start; least == 0 || took < least {
				least = max(took, time.Microsecond)
			}
		}
		return least, testing.AllocsPerRun(1, run)
	}
	few, fewAllocations := measure(small)
	many, manyAllocations := measure(large)
	t.Logf("%d members: %s, %.0f allocations; %d members: %s, %.0f allocations", small, few, fewAllocations, large, many, manyAllocations)
	if times := float64(many) / float64(few); many > moment && times > mostTimes {
		t.Errorf("four times as many members take %.1f times as long, %s, want at most %d times", times, many, mostTimes)
	}
	if times := manyAllocations / max(fewAllocations, 1); times > mostAllocations {
		t.Errorf("four times as many members take %.1f times the allocations, want at most %.1f", times, mostAllocations)
	}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	Must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
