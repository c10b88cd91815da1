// Package timing checks the relations between the time constants of the operator. The constants are unexported and spread
// over many packages, so the test reads them from the sources.
package timing

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// TestRelations fails when somebody changes a constant on which another one depends. A relation is a Go expression over
// constants, each with the directory of its package.
func TestRelations(t *testing.T) {
	for _, r := range []struct{ relation, because string }{
		// Connections to members.
		{"internal/fleet.probeTimeout < internal/fleet.DefaultProbeInterval", "a probe ends before the next one starts"},
		{"internal/fleet.DefaultDownAfter > internal/fleet.DefaultProbeInterval + internal/fleet.probeTimeout",
			"a member is not down after a single failed probe"},
		{"internal/fleet.backoffCap * (1 + internal/fleet.backoffJitter) <= 30 * time.Second",
			"a member that is back is connected within 30 s"},
		{"internal/fleet.backoffStart < internal/fleet.backoffCap", "the pause between attempts grows"},
		{"internal/fleet.callTimeout > 30 * time.Second",
			"a webhook of a member may take 30 s, and the API server's message must arrive before the client gives up"},
		{"internal/parts/workloads.evictionTimeout < internal/fleet.callTimeout",
			"an eviction ends by its own timeout, so that the next pass tries again"},
		{"internal/preflight.patience < internal/fleet.callTimeout", "a check ends by its own timeout"},

		// Questions to istiod.
		{"internal/istio/istiod.leaveWait < internal/istio/istiod.askTimeout", "the end of a stream takes less time than the question"},
		{"internal/istio/istiod.failureWait < internal/istio/istiod.askTimeout", "the reason of a failure arrives within the question"},
		{"internal/peercache.loadDeadline < internal/peercache.maxLoadDeadline", "the deadline grows with what is loaded"},
		{"internal/peercache.maxLoadDeadline < internal/gate.EndpointPatience", "a gate waits for the slowest peer"},
		{"internal/gate.EndpointPatience < internal/outcome.PassDeadline", "a gate ends before its pass does"},

		// Passes.
		{"internal/outcome.ShortWait < internal/outcome.Recheck", "what changes soon is looked at more often than what people change"},

		{"internal/outcome.Recheck < controllers/member.countEvery", "a member in which pods may begin to run is counted more often than one that is in use"},

		// Upgrades, and members that come back.
		{"internal/plan.lostFor > controllers/installation.snapshotLag",
			"an upgrade waits for a MeshMember until it has its status from the snapshot"},
		{"internal/plan.askDeadline > 2 * controllers/installation.askAgain", "members are counted several times before the deadline"},
		{"internal/plan/upgrade.defaultProgressDeadline > internal/parts/workloads.inFlight",
			"a restart for another revision frees its place in the batch before the member fails"},
		{"internal/plan/upgrade.defaultProgressDeadline > internal/parts/workloads.pause",
			"a restart that did not help is repeated before the member fails"},
		{"internal/plan/upgrade.defaultProgressDeadline > internal/istio.lostAfter",
			"a pod that does not go is left out before the member fails"},
		{"internal/parts/workloads.pause < internal/parts/workloads.inFlight",
			"a workload may be restarted once more while its earlier restart still counts"},

		// Restarts of istiod.
		{"internal/plan.restartGap < internal/plan.restartMaxGap", "the gap between restarts grows"},
		{"internal/plan.RestartDeadline < internal/plan.restartMaxGap", "the longest gap is longer than a restart that is waited for"},

		// Certificates and tokens.
		{"internal/parts/trust.defaultRenewBefore < internal/parts/trust.defaultIntermediateDuration",
			"cert-manager refuses to renew a certificate before it exists"},
		{"internal/parts/trust.defaultIntermediateDuration < internal/parts/trust.defaultRootDuration",
			"an intermediate certificate ends before its root"},
		{"internal/parts/trust.signingDeadline > 2 * time.Minute", "kubelet refreshes Secrets within 2 min"},
		{"internal/parts/trust.signingDeadline > 3 * internal/parts/trust.signingPace", "istiod is asked several times before a restart is ordered"},
		{"internal/parts/trust.signingDeadline < internal/parts/trust.signingRecheck", "what is pending is asked for more often"},
		{"internal/parts/discovery.markerDeadline > internal/parts/discovery.proofPace", "a dead token is replaced before peers report it as stale"},
		{"internal/parts/discovery.tokenDeadline > 2 * time.Minute + time.Minute + 30 * time.Second",
			"kubelet gives a replaced token to istiod within 2 min, client-go reads it within 1 min, and reflectors try again within 30 s"},
		{"internal/parts/discovery.markerInterval > internal/parts/discovery.markerDeadline", "a marker is judged before it changes again"},
		{"internal/parts/discovery.replaceGap > internal/parts/discovery.tokenDeadline", "peers have a replaced token before it is replaced again"},

		// Gates and stages.
		{"internal/gate.FailAfter > internal/gate/builtin/endpoints.recent", "a failure rests on reports of peers that are newer than the first one"},
		{"internal/gate.FailAfter >= 3 * controllers/member.gatePace", "a gate is asked several times before the member fails"},
		{"internal/gate.FailAfter < internal/gate.InconclusiveAfter", "a failure is reported before a person is asked"},
		{"internal/gate.FailAfter > internal/parts/discovery.debounce + internal/parts/discovery.clocks",
			"proxies have received a change before a gate fails"},
		{"internal/gate/builtin.readGrace > 30 * time.Second", "istiod tries again to read a lost peer at intervals of up to 30 s"},
		{"internal/gate/builtin.readGrace < internal/gate.InconclusiveAfter", "a new istiod reads its peers before a person is asked"},
		{"internal/gate/builtin.grace < internal/gate/builtin.istiodGrace", "istiod waits for its peers, which takes longer than a proxy"},
		{"internal/gate/builtin.istiodGrace < internal/parts/controlplane.istiodDeadline", "the gate names the cause before the deadline ends"},
		{"internal/gate/builtin.creationGrace < internal/parts/controlplane.istiodDeadline", "the gate names the cause before the deadline ends"},
		{"internal/gate/builtin.pullGrace < internal/gate/builtin.creationGrace", "an image that cannot be pulled is reported first"},
		{"controllers/member.preflightPace < controllers/member.preflightRecheck", "a preflight that has not passed is asked more often"},
		{"controllers/member.preflightRecheck < controllers/member.retryAll", "the results of a dry run are used more than once"},
		{"controllers/member.tagsSettle > internal/parts/controlplane.permissionsSettle", "tags wait for permissions before workloads wait for tags"},
		{"internal/parts/controlplane.retireFastest < internal/parts/controlplane.retireSlowest", "the interval grows"},
		// Discovery and gateways.
		{"controllers/member.returning > 30 * time.Second", "istiod tries again to read a lost peer at intervals of up to 30 s"},
		{"internal/parts/discovery.stuckAfter >= controllers/member.returning", "istiod is not restarted while a peer is coming back"},
		{"internal/parts/discovery.markerDeadline > 2 * internal/parts/discovery.markerPace", "istiod is asked several times for a marker"},
		{"internal/parts/discovery.peersDeadline > internal/parts/discovery.reverify + internal/parts/discovery.stuckAfter",
			"a restart is ordered before the failure is reported"},
		{"internal/parts/discovery.peersDeadline > internal/parts/discovery.markerDeadline + internal/parts/discovery.stuckAfter",
			"a restart is ordered before the failure is reported"},
		{"internal/member.AskIstiod < internal/istio/istiod.askTimeout", "the caller ends before the question does"},
		{"internal/parts/eastwest.announceTime > internal/parts/discovery.debounce + internal/parts/discovery.clocks",
			"peers that cannot be asked have been sent the announcement"},
		{"internal/parts/eastwest.drainTime > internal/parts/eastwest.announceTime + internal/parts/discovery.debounce",
			"proxies have dropped the gateway before it stops"},
		{"internal/parts/discovery.debounce < internal/parts/discovery.nothingToSend", "a change is gathered before it is taken for nothing"},
		{"internal/parts/discovery.nothingToSend < internal/parts/discovery.ackDeadline", "a proxy that is sent nothing does not wait for the deadline"},
		{"internal/parts/eastwest.ForgetDeadline >= internal/parts/discovery.ackDeadline", "a peer may use its whole deadline first"},
		{"internal/parts/eastwest.gatewayDeadline > internal/parts/eastwest.ForgetDeadline + internal/parts/eastwest.announceTime + internal/parts/eastwest.drainTime",
			"the deadline exceeds the sum of the waits"},
		{"internal/parts/eastwest.rejectedPace < internal/parts/eastwest.rejectionPatience", "a rejection is seen twice before it needs a person"},
		{"internal/parts/eastwest.lookupDeadline < internal/parts/eastwest.lookupPace", "a name that is slow to resolve does not slow every pass"},
		{"internal/parts/discovery.replacedPace + internal/parts/eastwest.lookupPace < internal/parts/eastwest.ForgetDeadline",
			"peers report a host name well before the wait ends"},
		{"internal/parts/trust.rootDeadline > 2 * time.Minute", "kubelet refreshes Secrets within 2 min"},
		{"internal/plan.RestartDeadline > internal/parts/controlplane.istiodDeadline", "the member reports its failure first"},
		{"internal/plan/upgrade.defaultProgressDeadline > internal/parts/controlplane.istiodDeadline + internal/parts/eastwest.gatewayDeadline + internal/parts/trust.rootDeadline + internal/parts/discovery.peersDeadline",
			"the deadline exceeds the sum of the waits"},
		{"internal/plan.lostFor > internal/parts/claim.takeOverTime + controllers/installation.snapshotLag", "a member that was lost has time to return"},
		{"internal/gate/custom.webhookAgain < internal/gate/custom.webhookInterval", "a webhook that does not pass is asked more often"},
	} {
		t.Run(strings.ReplaceAll(r.relation, "/", "."), func(t *testing.T) {
			holds, values, err := evaluate(r.relation)
			switch {
			case err != nil:
				t.Errorf("cannot evaluate %q: %v; correct the table of this test", r.relation, err)
			case !holds:
				t.Errorf("%s does not hold (%s): %s", r.relation, values, r.because)
			}
		})
	}
}

// reference is a constant in a relation: the directory of its package, a dot and its name.
var reference = regexp.MustCompile(`[a-z][a-z0-9/]*\.[A-Za-z]+`)

// evaluate says whether a relation holds, and with which values.
func evaluate(relation string) (holds bool, values string, err error) {
	var errs []error
	var named []string
	expression := reference.ReplaceAllStringFunc(relation, func(name string) string {
		value, err := lookup(name)
		if err != nil {
			errs = append(errs, err)
			return name
		}
		if !strings.HasPrefix(name, "time.") {
			named = append(named, name[strings.LastIndex(name, ".")+1:]+" is "+show(value))
		}
		return "(" + value.String() + ")"
	})
	if err := errors.Join(errs...); err != nil {
		return false, "", err
	}
	result, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expression)
	if err != nil {
		return false, "", err
	}
	if result.Value == nil || result.Value.Kind() != constant.Bool {
		return false, "", errors.New("it is not a comparison of constants")
	}
	return constant.BoolVal(result.Value), strings.Join(named, ", "), nil
}

func show(value constant.Value) string {
	if value.Kind() == constant.Int {
		if n, isExact := constant.Int64Val(value); isExact && n >= int64(time.Millisecond) {
			return time.Duration(n).String()
		}
	}
	return value.String()
}

func lookup(name string) (constant.Value, error) {
	dot := strings.LastIndex(name, ".")
	dir, name := name[:dot], name[dot+1:]
	pkg := clock()
	if dir != pkg.Path() {
		var err error
		if pkg, err = load(dir); err != nil {
			return nil, err
		}
	}
	c, ok := pkg.Scope().Lookup(name).(*types.Const)
	if !ok || c.Val().Kind() == constant.Unknown {
		return nil, fmt.Errorf("package %s has no constant %s", dir, name)
	}
	return c.Val(), nil
}

// load type-checks a package as far as constants need it: without function bodies, and with no import but time.
func load(dir string) (*types.Package, error) {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no package %s", dir)
	}
	config := types.Config{
		Importer: onlyTime{}, IgnoreFuncBodies: true,
		Error: func(error) {}, // what other imports declare is unknown
	}
	pkg, _ := config.Check(dir, fset, files, nil)
	return pkg, nil
}

type onlyTime struct{}

func (onlyTime) Import(path string) (*types.Package, error) {
	if path == "time" {
		return clock(), nil
	}
	return nil, fmt.Errorf("package %s is not needed", path)
}

// clock is package time with its units alone.
func clock() *types.Package {
	pkg := types.NewPackage("time", "time")
	duration := types.NewTypeName(token.NoPos, pkg, "Duration", nil)
	types.NewNamed(duration, types.Typ[types.Int64], nil)
	pkg.Scope().Insert(duration)
	for name, unit := range map[string]time.Duration{
		"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
	} {
		pkg.Scope().Insert(types.NewConst(token.NoPos, pkg, name, duration.Type(), constant.MakeInt64(int64(unit))))
	}
	pkg.MarkComplete()
	return pkg
}

// TestEvaluate guards the guard: a relation that does not hold, or that names nothing, must be found.
func TestEvaluate(t *testing.T) {
	if holds, values, err := evaluate("internal/fleet.callTimeout < 30 * time.Second"); holds || values != "callTimeout is 40s" || err != nil {
		t.Errorf("got %t, values %q, error %v; want a relation that does not hold", holds, values, err)
	}
	for _, wrong := range []string{"internal/fleet.none > 0", "internal/none.x > 0", "internal/fleet.callTimeout", "1 +"} {
		if _, _, err := evaluate(wrong); err == nil {
			t.Errorf("%q was evaluated", wrong)
		}
	}
}
