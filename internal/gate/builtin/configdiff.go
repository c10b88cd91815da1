package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/configdiff"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// configDiffName is the gate's name in the API.
const configDiffName = "ConfigDiff"

// newConfigDiff makes the gate that passes when the new revision configures proxies as the former one does, in all that
// matters. A few real proxies stand for all: each istiod is asked for the configuration of their twins.
func newConfigDiff(spec *meshv1alpha1.ConfigDiffGate) gate.Gate {
	c := configDiff{size: sampleSize, classes: configdiff.Harmful()}
	if spec != nil && spec.Sample > 0 {
		c.size = int(spec.Sample)
	}
	if spec != nil && len(spec.FailOn) > 0 {
		c.classes = nil
		for _, class := range spec.FailOn {
			c.classes = append(c.classes, configdiff.Class(class))
		}
	}
	return gate.NewPaced(configDiffName, configDiffPace, c.ask)
}

// configDiffPace keeps istiod from working for us again and again while an upgrade waits for something.
func configDiffPace(last meshv1alpha1.Verdict) time.Duration {
	switch last {
	case meshv1alpha1.VerdictPass:
		return time.Minute
	case meshv1alpha1.VerdictInconclusive:
		// There was no istiod to ask, or no proxy to ask about.
		return 0
	}
	return 5 * time.Second
}

type configDiff struct {
	size    int
	classes []configdiff.Class
}

func (c configDiff) ask(ctx context.Context, m *gate.Subject, _ *meshv1alpha1.GateResult) (gate.Answer, error) {
	if m.From == "" {
		return gate.Pass("there is no former revision to compare with"), nil
	}
	before := gate.Recall[configLook](m, configDiffName)
	gate.Note[configLook](m, configDiffName, nil)
	var pods [2]string
	for i, revision := range []string{m.From, m.To} {
		names, err := readyIstiods(ctx, m, revision)
		if err != nil {
			return gate.Answer{}, err
		}
		if len(names) == 0 {
			return gate.NoIstiod(revision), nil
		}
		// All pods of a revision read the same; whether each of them reads everything is for other gates.
		pods[i] = names[0]
	}
	newest, err := newestIstiod(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	var l configLook
	isFirst := before == nil || before.pods != pods
	if isFirst {
		l, err = c.firstLook(ctx, m, pods)
	} else {
		l, err = c.lookAgain(ctx, m, *before)
	}
	if err != nil {
		return gate.Answer{}, err
	}
	if len(l.sample) == 0 {
		return judgeNoSample(ctx, m)
	}
	if l.report.Count(c.classes) > 0 {
		gate.Note(m, configDiffName, &l)
	}
	a := c.judge(l, m.Now.Sub(newest) <= readGrace, m.Down)
	if isFirst && a.Verdict == meshv1alpha1.VerdictFail {
		return m.Unconfirmed(configDiffName, "%s; compares again", a.Message), nil
	}
	return a, nil
}

// configLook is what the comparison of a sample has shown. What is bad counts once a second look has shown it too: endpoints
// come and go, and users change their objects.
type configLook struct {
	// pods are the istiod pods of both revisions that were asked.
	pods   [2]string
	sample []istiod.Client
	kinds  int
	report *configdiff.Report
}

// firstLook compares a new sample.
func (c configDiff) firstLook(ctx context.Context, m *gate.Subject, pods [2]string) (configLook, error) {
	sample, kinds, err := sampleOf(ctx, m, c.size)
	if err != nil {
		return configLook{}, err
	}
	report, err := compareConfig(ctx, m, pods, sample)
	return configLook{pods: pods, sample: sample, kinds: kinds, report: report}, err
}

// lookAgain compares the proxies once more for which something bad was found, and keeps what is found again.
func (c configDiff) lookAgain(ctx context.Context, m *gate.Subject, l configLook) (configLook, error) {
	suspects := l.report.Proxies(c.classes)
	again, err := compareConfig(ctx, m, l.pods, slices.DeleteFunc(slices.Clone(l.sample), func(p istiod.Client) bool { return !slices.Contains(suspects, p.ID) }))
	if err != nil {
		return configLook{}, err
	}
	l.report.Confirm(c.classes, again)
	return l, nil
}

func (c configDiff) judge(l configLook, isFresh bool, down []string) gate.Answer {
	report := l.report
	compared := fmt.Sprintf("%d of %s of proxies compared", len(l.sample), gate.Count(l.kinds, "kind"))
	if summary := report.Summary(c.classes); summary != "" {
		compared += "; " + summary
	}
	found := report.Count(c.classes)
	switch {
	case found == 0:
		return gate.Pass("%s", compared).Measured(0, gate.NoneAllowed)
	case isFresh && report.Count(c.losses()) > 0:
		// It may still be reading a peer, for as long as other gates allow it too. What is unsafe is so from the start.
		return gate.Pending("istiod has just started; %s", compared).Measured(float64(found), gate.NoneAllowed)
	}
	if len(down) > 0 && report.Count(c.losses()) > 0 {
		// With the endpoints of a peer go the names that its proxies have: their loss looks like a weakening.
		return gate.Inconclusive("%s cannot be reached, which may be why; %s", mesh.Capped(down), compared).Measured(float64(found), gate.NoneAllowed)
	}
	return gate.Fail("%s", compared).Measured(float64(found), gate.NoneAllowed)
}

// losses are the classes that fail, of which there is less when istiod knows more.
func (c configDiff) losses() []configdiff.Class {
	return slices.DeleteFunc(configdiff.Losses(), func(class configdiff.Class) bool { return !slices.Contains(c.classes, class) })
}

// judgeNoSample is the answer when no proxy of the former revision can be compared.
func judgeNoSample(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	former := *m
	former.To = m.From
	pods, err := injectedPods(ctx, &former)
	if err != nil {
		return gate.Answer{}, err
	}
	pods = slices.DeleteFunc(pods, func(p injectedPod) bool { return p.isGateway })
	if len(pods) > 0 {
		return gate.Inconclusive("no proxy of revision %s is connected to its istiod, but %s", m.From, haveOne(len(pods))), nil
	}
	return gate.Pass("revision %s has no proxies", m.From), nil
}

func haveOne(pods int) string {
	if pods == 1 {
		return "1 pod has one"
	}
	return fmt.Sprintf("%d pods have one", pods)
}

// sample chooses among the proxies that are connected to the former revision and whose pods are there: istiod has to
// find them. Proxies outside of Kubernetes, those of other clusters, and those that cannot be compared yet are left out.
func sampleOf(ctx context.Context, m *gate.Subject, size int) (sample []istiod.Client, kinds int, err error) {
	answers, err := askAll(ctx, m, m.From, istiod.Clients)
	if err != nil {
		return nil, 0, err
	}
	var clients []istiod.Client
	for _, list := range answers {
		clients = append(clients, list...)
	}
	isEarly, err := tooEarly(ctx, m)
	if err != nil {
		return nil, 0, err
	}
	chosen := choose(slices.DeleteFunc(clients, func(c istiod.Client) bool { return c.Text("CLUSTER_ID") != m.Cluster || isEarly(c) }))
	kinds = len(chosen)
	for _, c := range chosen {
		if len(sample) == size {
			break
		}
		name, namespace, _ := strings.Cut(c.ID, ".")
		pod := &metav1.PartialObjectMetadata{}
		pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
		switch err := m.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); {
		case apierrors.IsNotFound(err):
			kinds--
		case err != nil:
			return nil, 0, fmt.Errorf("get pod %s of namespace %s: %w", name, namespace, err)
		default:
			sample = append(sample, c)
		}
	}
	return sample, kinds, nil
}

// compareConfig asks both istiods, one proxy after the other so that no istiod is busy with us.
func compareConfig(ctx context.Context, m *gate.Subject, pods [2]string, sample []istiod.Client) (*configdiff.Report, error) {
	report := &configdiff.Report{}
	for _, c := range sample {
		before, after, err := fetchBoth(ctx, m, pods, c)
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", c.ID, err)
		}
		findings, err := configdiff.Compare(configdiff.Config(before), configdiff.Config(after))
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", c.ID, err)
		}
		report.Add(c.ID, findings)
	}
	return report, nil
}

// fetchBoth asks the former istiod about the proxy as it is, and the new one about what it will be after a restart.
func fetchBoth(ctx context.Context, m *gate.Subject, pods [2]string, c istiod.Client) (before, after istiod.ProxyConfig, err error) {
	var configs [2]istiod.ProxyConfig
	var errs [2]error
	var wg sync.WaitGroup
	for i, revision := range [][2]string{{m.From, m.FromVersion}, {m.To, m.ToVersion}} {
		wg.Go(func() {
			node, err := istiod.Twin(c, revision[0], revision[1])
			if err == nil {
				configs[i], err = istiod.FetchConfig(ctx, m.Config, m.Namespace, pods[i], node)
			}
			if err != nil {
				errs[i] = fmt.Errorf("istiod pod %s: %w", pods[i], err)
			}
		})
	}
	wg.Wait()
	return configs[0], configs[1], errors.Join(errs[:]...)
}
