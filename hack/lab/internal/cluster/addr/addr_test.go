package addr

import (
	"net/netip"
	"testing"
)

func TestForNeverOverlaps(t *testing.T) {
	seen := map[netip.Addr]int{Bridge.Addr(): -1}
	claim := func(t *testing.T, index int, a netip.Addr) {
		t.Helper()
		if other, taken := seen[a]; taken {
			t.Errorf("address %s belongs to cluster %d and cluster %d", a, other, index)
		}
		if !Bridge.Contains(a) {
			t.Errorf("address %s is not on the shared network %s", a, Bridge)
		}
		seen[a] = index
	}
	var plans []Plan
	for i := range MaxClusters {
		plan, err := For(i)
		if err != nil {
			t.Fatalf("For(%d): %v", i, err)
		}
		claim(t, i, plan.Node)
		for _, a := range plan.Pool {
			claim(t, i, a)
		}
		if len(plan.Pool) != PoolSize {
			t.Errorf("cluster %d has %d pool addresses, want %d", i, len(plan.Pool), PoolSize)
		}
		if !AllPods.Overlaps(plan.Pods) || AllPods.Bits() >= plan.Pods.Bits() {
			t.Errorf("pods %s of cluster %d are not inside %s", plan.Pods, i, AllPods)
		}
		if !AllServices.Overlaps(plan.Services) || AllServices.Bits() >= plan.Services.Bits() {
			t.Errorf("services %s of cluster %d are not inside %s", plan.Services, i, AllServices)
		}
		if !plan.Services.Contains(plan.DNS) || !plan.Services.Contains(plan.FirstService) {
			t.Errorf("cluster %d: DNS %s or first Service %s outside %s", i, plan.DNS, plan.FirstService, plan.Services)
		}
		for j, other := range plans {
			if plan.Pods.Overlaps(other.Pods) || plan.Services.Overlaps(other.Services) || plan.MAC == other.MAC {
				t.Errorf("clusters %d and %d overlap", j, i)
			}
		}
		plans = append(plans, plan)
	}
}

func TestForRejectsIndexOutOfRange(t *testing.T) {
	for _, index := range []int{-1, MaxClusters} {
		if _, err := For(index); err == nil {
			t.Errorf("For(%d) succeeded, want an error", index)
		}
	}
}

func TestFreeIndex(t *testing.T) {
	tests := map[string]struct {
		taken   []int
		want    int
		wantErr bool
	}{
		"first cluster gets zero":           {want: 0},
		"gap left by a removed one is used": {taken: []int{0, 2, 3}, want: 1},
		"no index left": {
			taken:   []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
			wantErr: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := FreeIndex(tt.taken)
			if (err != nil) != tt.wantErr {
				t.Fatalf("FreeIndex(%v) error = %v, wantErr %v", tt.taken, err, tt.wantErr)
			}
			if got != tt.want {
				t.Errorf("FreeIndex(%v) = %d, want %d", tt.taken, got, tt.want)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"hub", "east-2", "a", "abcdefghijk"} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{"", "East", "2east", "east-", "../hub", "abcdefghijkl", "a_b"} {
		if err := CheckName(name); err == nil {
			t.Errorf("CheckName(%q) = nil, want an error", name)
		}
	}
}
