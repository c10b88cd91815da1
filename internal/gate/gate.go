package gate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// patience bounds one gate.
	patience = 10 * time.Second
	// longPatience bounds a gate that asks about every object of users, or that has to hear peers more than once.
	longPatience = 30 * time.Second
	// atOnce bounds how many gates are asked at the same time.
	atOnce = 4
	// looks is how often something is asked about that may be on its way.
	looks = 4
	// messageSize bounds a message, which is kept in a status.
	messageSize = 1024
)

// Member is what gates are asked about: a revision of one member, and the one that it replaces.
type Member struct {
	// Config is for port-forwards.
	Config *rest.Config
	// Client reads the API server itself: injected pods and users' objects have no label of ours.
	Client client.Client
	// Namespace of istiod.
	Namespace string
	// Installation is the value of the label that names the installation.
	Installation string
	// Cluster is the cluster ID.
	Cluster string
	// From and To are revisions. From is empty when there is none to compare with.
	From, To string
	// FromVersion and ToVersion are their releases.
	FromVersion, ToVersion string
	// Peers are the cluster IDs of the peers.
	Peers []string
	// Down are the peers that cannot be reached now. A new istiod cannot read them, and that is no fault of its own: gates
	// cannot tell, or with IgnoreDown leave these peers out.
	Down       []string
	IgnoreDown bool
	// IsBack says that the member itself was cut off until a moment ago: its istiods may not have read their peers again. No gate
	// fails the member for that.
	IsBack bool
	// Witnesses are the peers that say themselves what they have, through Count: those that have served and can be reached.
	// What is known of the others is held against the former revision alone.
	Witnesses []string
	Count     CountFunc
	// Tags are the names of the tags that will move, `default` among them.
	Tags []string

	// Mesh is the MeshInstallation, Upgrade the name of the MeshUpgrade, and Stage what the member was told.
	Mesh    types.NamespacedName
	Upgrade string
	Stage   meshv1alpha1.Stage
	// MovedAt is when the tags were told to point at To. Zero: they have not moved.
	MovedAt time.Time
	// Hub reads Secrets of the hub.
	Hub client.Reader

	now      time.Time
	previous []meshv1alpha1.GateResult
}

// Answer is what a gate says.
type Answer struct {
	Name    string
	Verdict meshv1alpha1.Verdict
	Message string
	// Value was measured and held against Threshold. Both are empty where a gate does not measure.
	Value, Threshold string
	// AskedAt and Measurements are the memory of a gate that is asked at its own pace.
	AskedAt      *metav1.Time
	Measurements *meshv1alpha1.GateMeasurements
	// DryRun says that nothing follows from the verdict.
	DryRun bool
}

// Gate is one question.
type Gate interface {
	Name() string
	// Ask always ends, with an Error verdict when it cannot be answered in time.
	Ask(ctx context.Context, m Member) Answer
}

// ControlPlaneReady is the name of the gate that says whether istiod serves at all. Without that no other can tell.
const ControlPlaneReady = "ControlPlaneReady"

// Preflight are the gates of a revision that has no traffic yet.
func Preflight() []Gate {
	return []Gate{
		question{ControlPlaneReady, patience, controlPlaneReady},
		question{"PeersSynced", patience, peersSynced},
		question{"EndpointsComplete", longPatience, endpointsComplete},
		question{"ConfigAccepted", patience, configAccepted},
		question{"ConfigValid", longPatience, configValid},
		question{"Injection", patience, injection},
		newConfigDiff(nil),
	}
}

// Running are the gates of a revision that workloads use.
func Running() []Gate {
	return []Gate{
		question{ControlPlaneReady, patience, controlPlaneReady},
		question{"ConfigAccepted", patience, configAccepted},
		question{"ProxiesSynced", patience, proxiesSynced},
		question{"EndpointsComplete", longPatience, endpointsComplete},
		question{"GatewaysProgrammed", patience, gatewaysProgrammed},
	}
}

// EvaluateOnce is Evaluate without asking gates again that have answered already in the same pass.
func EvaluateOnce(
	ctx context.Context, gates []Gate, m Member, answered, previous []meshv1alpha1.GateResult, now time.Time,
) []meshv1alpha1.GateResult {
	var open []Gate
	var results []meshv1alpha1.GateResult
	for _, g := range gates {
		i := slices.IndexFunc(answered, func(r meshv1alpha1.GateResult) bool { return r.Name == g.Name() })
		if i < 0 {
			open = append(open, g)
		} else {
			results = append(results, answered[i])
		}
	}
	results = append(results, Evaluate(ctx, open, m, previous, now)...)
	slices.SortFunc(results, byName)
	return results
}

// Evaluate asks gates, a few at a time. A verdict that has not changed keeps its time.
func Evaluate(ctx context.Context, gates []Gate, m Member, previous []meshv1alpha1.GateResult, now time.Time) []meshv1alpha1.GateResult {
	m.now, m.previous = now, previous
	answers := make([]Answer, len(gates))
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, g := range gates {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i] = g.Ask(ctx, m)
		})
	}
	wg.Wait()
	results := make([]meshv1alpha1.GateResult, 0, len(answers))
	for _, a := range answers {
		r := meshv1alpha1.GateResult{
			Name: a.Name, Verdict: a.Verdict, Message: a.Message, Value: a.Value, Threshold: a.Threshold, DryRun: a.DryRun,
			AskedAt: a.AskedAt, Measurements: a.Measurements, Since: metav1.NewTime(now.Truncate(time.Second)),
		}
		if m.IsBack && r.Verdict == meshv1alpha1.VerdictFail {
			r.Verdict, r.Message = meshv1alpha1.VerdictInconclusive, shorten("the member was cut off until a moment ago; "+r.Message, messageSize)
		}
		for _, p := range previous {
			if p.Name == r.Name && p.Verdict == r.Verdict {
				r.Since = p.Since
			}
		}
		results = append(results, r)
	}
	slices.SortFunc(results, byName)
	return results
}

// severity orders verdicts.
var severity = map[meshv1alpha1.Verdict]int{
	meshv1alpha1.VerdictPass: 0, meshv1alpha1.VerdictPending: 1, meshv1alpha1.VerdictInconclusive: 2, meshv1alpha1.VerdictError: 3,
	meshv1alpha1.VerdictFail: 4,
}

// Worst is the worst verdict: Fail, then Error, Inconclusive, Pending and Pass. No result at all is Inconclusive.
func Worst(results []meshv1alpha1.GateResult) meshv1alpha1.Verdict {
	if len(results) == 0 {
		return meshv1alpha1.VerdictInconclusive
	}
	return slices.MaxFunc(results, func(a, b meshv1alpha1.GateResult) int { return severity[a.Verdict] - severity[b.Verdict] }).Verdict
}

// question is a gate made of a function.
type question struct {
	name    string
	timeout time.Duration
	ask     func(context.Context, *Member) (Answer, error)
}

func (q question) Name() string { return q.name }

func (q question) Ask(ctx context.Context, m Member) Answer {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	if m.now.IsZero() {
		m.now = time.Now()
	}
	a, err := q.ask(ctx, &m)
	if err != nil {
		a = Answer{Verdict: meshv1alpha1.VerdictError, Message: err.Error()}
	}
	a.Name, a.Message = q.name, oneLine(a.Message)
	return a
}

// oneLine fits a reason of others into a status.
func oneLine(message string) string {
	return shorten(strings.Join(strings.Fields(message), " "), messageSize)
}

func pass(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictPass, Message: fmt.Sprintf(format, args...)}
}

func fail(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictFail, Message: fmt.Sprintf(format, args...)}
}

func pending(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictPending, Message: fmt.Sprintf(format, args...)}
}

func inconclusive(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictInconclusive, Message: fmt.Sprintf(format, args...)}
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// some names the first of many, in a stable order.
func some(names []string) string {
	const shown = 3
	names = slices.Clone(names)
	slices.Sort(names)
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

func shorten(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "") + "…"
}

// measured adds to an answer what was counted.
func (a Answer) measured(value float64, threshold string) Answer {
	a.Value, a.Threshold = number(value), threshold
	return a
}

func number(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }

func isPass(a Answer) bool { return a.Verdict == meshv1alpha1.VerdictPass }

// lookAgain asks a few times, until the answer is settled.
func lookAgain(ctx context.Context, look func() (a Answer, isSettled bool, err error)) (Answer, error) {
	for n := 1; ; n++ {
		a, isSettled, err := look()
		if err != nil || isSettled || n == looks {
			return a, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return Answer{}, err
		}
	}
}

// pause waits for what may be on its way.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
