package apply

import (
	"crypto/sha256"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// contestedAfter is how many times an object must have been restored, each within contestWindow of the time before, until
	// another client counts as its second writer. People who edit an object do so less often.
	contestedAfter = 3
	contestWindow  = 15 * time.Minute
	// contestPace is how often a contested object of a shared component is written at most.
	contestPace = time.Minute
)

// Contested is an object that another client keeps changing.
type Contested struct {
	Object Reference
	// Manager is the client's name in the managed fields of the object. Empty: the object does not say.
	Manager string
}

// contest counts the writes of one object whose wanted state stays the same.
type contest struct {
	object   Reference
	hash     [sha256.Size]byte
	restored int
	at       time.Time
	manager  string
}

func (c *contest) isOn(now time.Time) bool {
	return c.restored >= contestedAfter && now.Sub(c.at) < contestWindow
}

// Contested are the objects that other clients keep changing, in a stable order.
func (a *Applier) Contested() []Contested {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Contested
	for _, c := range a.contests {
		if c.isOn(a.now()) {
			out = append(out, Contested{Object: c.object, Manager: c.manager})
		}
	}
	slices.SortFunc(out, func(x, y Contested) int { return x.Object.compare(y.Object) })
	return out
}

// noteWrite counts the write of an object that was there. Another state than the last one that was written is no repair.
func (a *Applier) noteWrite(key string, hash [sha256.Size]byte, live *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, last := a.now(), a.contests[key]
	next := contest{object: refOf(live), hash: hash, at: now, manager: otherManager(live)}
	if last.hash == hash && now.Sub(last.at) < contestWindow {
		next.restored = last.restored + 1
	} else if known, ok := a.known[key]; ok && known.hash == hash {
		next.restored = 1
	}
	a.contests[key] = next
}

// mustWait says whether it is too early to restore an object again that others change.
func (a *Applier) mustWait(key string, hash [sha256.Size]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, now := a.contests[key], a.now()
	return c.hash == hash && c.isOn(now) && now.Sub(c.at) < contestPace
}

// otherManager is the client that wrote an object last, the operator apart.
func otherManager(live *unstructured.Unstructured) string {
	var name string
	var at metav1.Time
	for _, m := range live.GetManagedFields() {
		if m.Manager == fieldManager || m.Manager == repairManager || m.Subresource != "" {
			continue
		}
		if m.Time != nil && (name == "" || at.Before(m.Time)) {
			name, at = m.Manager, *m.Time
		}
	}
	return name
}
