package argocd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

// State is what an Application reports.
type State struct {
	// Sync and Health are Argo CD's words: Synced, OutOfSync; Healthy, Progressing, Suspended, Degraded, Missing.
	Sync, Health string
	// Revision is the commit with which the hub was compared last.
	Revision string
	// Operation is the phase of the last operation, Started and Finished are its times, and Message is what it reports.
	Operation, Started, Finished, Message string
	// Synced is the commit of the last operation.
	Synced string
	// History is the number of syncs that succeeded, as far as the Application keeps them.
	History int
	// Compared is when Argo CD compared last.
	Compared string
	// Conditions are warnings and errors.
	Conditions []string
}

// String is the part of the state that people look at.
func (s State) String() string {
	text := s.Sync + "/" + s.Health
	if s.Operation != "" {
		text += ", operation " + s.Operation
	}
	if s.Operation != "" && s.Operation != "Succeeded" && s.Message != "" {
		text += ": " + s.Message
	}
	for _, c := range s.Conditions {
		text += "; " + c
	}
	return text
}

// State reads an Application.
func (a *ArgoCD) State(ctx context.Context, name string) (State, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"})
	if err := a.env.Hub.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, u); err != nil {
		return State{}, fmt.Errorf("get Application %s: %w", name, err)
	}
	text := func(path ...string) string {
		value, _, _ := unstructured.NestedString(u.Object, append([]string{"status"}, path...)...)
		return value
	}
	s := State{
		Sync: text("sync", "status"), Health: text("health", "status"), Revision: text("sync", "revision"), Compared: text("reconciledAt"),
		Operation: text("operationState", "phase"), Started: text("operationState", "startedAt"), Finished: text("operationState", "finishedAt"),
		Message: text("operationState", "message"), Synced: text("operationState", "syncResult", "revision"),
	}
	history, _, err := unstructured.NestedSlice(u.Object, "status", "history")
	if err != nil {
		return State{}, fmt.Errorf("read Application %s: %w", name, err)
	}
	s.History = len(history)
	conditions, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return State{}, fmt.Errorf("read Application %s: %w", name, err)
	}
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok {
			s.Conditions = append(s.Conditions, fmt.Sprintf("%v: %v", m["type"], m["message"]))
		}
	}
	return s, nil
}

// Await waits until an Application is as wanted, and returns it.
func (a *ArgoCD) Await(ctx context.Context, name, what string, deadline time.Duration, wanted func(State) bool) (State, error) {
	var found State
	err := harness.Await(ctx, fmt.Sprintf("Application %s to be %s", name, what), deadline, func(ctx context.Context) (bool, string, error) {
		if err := a.RequireRunning(); err != nil {
			return false, "", harness.Fatal(err)
		}
		s, err := a.State(ctx, name)
		if err != nil {
			return false, "", err
		}
		found = s
		return wanted(s), s.String(), nil
	})
	return found, err
}

// AwaitAt waits until an Application is synced to a commit and has the health given.
func (a *ArgoCD) AwaitAt(ctx context.Context, name, commit, health string, deadline time.Duration) (State, error) {
	return a.Await(ctx, name, fmt.Sprintf("Synced to %.8s and %s", commit, health), deadline, func(s State) bool {
		return s.Sync == "Synced" && s.Health == health && s.Revision == commit && s.Operation == "Succeeded" && s.Synced == commit
	})
}

// Recorder notes each change of an Application's sync status and health.
type Recorder struct {
	mu     sync.Mutex
	seen   []string
	errs   []string
	cancel context.CancelFunc
	done   chan struct{}
}

// recordPace is how often a Recorder looks: shorter states than that may be missed.
const recordPace = 500 * time.Millisecond

// Record begins to note the changes of an Application.
func (a *ArgoCD) Record(ctx context.Context, name string) *Recorder {
	ctx, cancel := context.WithCancel(ctx)
	r := &Recorder{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		tick := time.NewTicker(recordPace)
		defer tick.Stop()
		for ctx.Err() == nil {
			a.look(ctx, name, r)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		// What has just become true belongs to the record.
		a.look(context.WithoutCancel(ctx), name, r)
	}()
	return r
}

// look notes the state of an Application. Until it exists there is nothing to note.
func (a *ArgoCD) look(ctx context.Context, name string, r *Recorder) {
	if s, err := a.State(ctx, name); err == nil {
		r.note(a.env, name, s)
	} else if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
		r.fail(err)
	}
}

func (r *Recorder) note(env *harness.Env, name string, s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := s.Sync + "/" + s.Health
	if len(r.seen) > 0 && r.seen[len(r.seen)-1] == text {
		return
	}
	r.seen = append(r.seen, text)
	env.Logf("  %s is %s", name, s)
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err.Error())
}

// Seen are the states so far, such as Synced/Progressing, in their order.
func (r *Recorder) Seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// Stop ends the record and returns the states. Looks that failed are an error: states may be missing.
func (r *Recorder) Stop() ([]string, error) {
	r.cancel()
	<-r.done
	if len(r.errs) > 0 {
		return r.Seen(), fmt.Errorf("%d looks at the Application failed: %s", len(r.errs), strings.Join(r.errs[:1], ""))
	}
	return r.Seen(), nil
}
