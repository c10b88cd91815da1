package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshfleet/meshfleet/internal/configdiff"
	"github.com/meshfleet/meshfleet/internal/xds"
)

// configDiff passes when the new revision configures proxies as the former one does, in all that matters. A few real
// proxies stand for all: each istiod is asked for the configuration of their twins. Endpoints come and go, and users
// change their objects, so only what is found in two looks counts.
func configDiff(ctx context.Context, m *Member) (Answer, error) {
	if m.From == "" {
		return pass("there is no former revision to compare with"), nil
	}
	pods := [2]string{}
	for i, revision := range []string{m.From, m.To} {
		names, err := m.readyIstiods(ctx, revision)
		if err != nil {
			return Answer{}, err
		}
		if len(names) == 0 {
			return noIstiod(revision), nil
		}
		pods[i] = names[0]
	}
	sample, kinds, err := m.sample(ctx)
	if err != nil {
		return Answer{}, err
	}
	if len(sample) == 0 {
		return m.judgeNoSample(ctx)
	}
	report, err := m.compareConfig(ctx, pods, sample)
	if err != nil {
		return Answer{}, err
	}
	classes := configdiff.Harmful()
	if suspects := report.Proxies(classes); len(suspects) > 0 {
		if err := pause(ctx, time.Second); err != nil {
			return Answer{}, err
		}
		again := slices.DeleteFunc(slices.Clone(sample), func(c xds.Client) bool { return !slices.Contains(suspects, c.ID) })
		second, err := m.compareConfig(ctx, pods, again)
		if err != nil {
			return Answer{}, err
		}
		report.Confirm(classes, second)
	}
	newest, err := m.newestIstiod(ctx, m.To)
	return judgeReport(report, classes, len(sample), kinds, m.now.Sub(newest) <= grace), err
}

func judgeReport(report *configdiff.Report, classes []configdiff.Class, sample, kinds int, isFresh bool) Answer {
	compared := fmt.Sprintf("%d of %s of proxies compared", sample, count(kinds, "kind"))
	if summary := report.Summary(classes); summary != "" {
		compared += "; " + summary
	}
	switch {
	case len(report.Proxies(classes)) == 0:
		return pass("%s", compared)
	case isFresh:
		// It may still be reading objects and peers.
		return inconclusive("istiod has just started; %s", compared)
	}
	return fail("%s", compared)
}

// judgeNoSample says what it means that no proxy is connected to the former revision.
func (m *Member) judgeNoSample(ctx context.Context) (Answer, error) {
	former := *m
	former.To = m.From
	pods, err := former.injectedPods(ctx)
	if err != nil {
		return Answer{}, err
	}
	if len(pods) > 0 {
		return inconclusive("no proxy of revision %s is connected to its istiod, but %s", m.From, haveOne(len(pods))), nil
	}
	return pass("revision %s has no proxies", m.From), nil
}

func haveOne(pods int) string {
	if pods == 1 {
		return "1 pod has one"
	}
	return fmt.Sprintf("%d pods have one", pods)
}

// sample chooses among the proxies that are connected to the former revision.
func (m *Member) sample(ctx context.Context) (sample []xds.Client, kinds int, err error) {
	answers, err := askAll(ctx, m, m.From, xds.Clients)
	if err != nil {
		return nil, 0, err
	}
	var clients []xds.Client
	for _, list := range answers {
		clients = append(clients, list...)
	}
	sample, kinds = choose(clients, sampleSize)
	return sample, kinds, nil
}

// compareConfig asks both istiods, one proxy after the other so that no istiod is busy with us.
func (m *Member) compareConfig(ctx context.Context, pods [2]string, sample []xds.Client) (*configdiff.Report, error) {
	report := &configdiff.Report{}
	for _, c := range sample {
		before, after, err := m.fetchBoth(ctx, pods, c)
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
func (m *Member) fetchBoth(ctx context.Context, pods [2]string, c xds.Client) (before, after xds.ProxyConfig, err error) {
	var configs [2]xds.ProxyConfig
	var errs [2]error
	var wg sync.WaitGroup
	for i, revision := range [][2]string{{m.From, m.FromVersion}, {m.To, m.ToVersion}} {
		wg.Go(func() {
			node, err := xds.Twin(c, revision[0], revision[1])
			if err == nil {
				configs[i], err = xds.FetchConfig(ctx, m.Config, m.Namespace, pods[i], node)
			}
			if err != nil {
				errs[i] = fmt.Errorf("istiod pod %s: %w", pods[i], err)
			}
		})
	}
	wg.Wait()
	return configs[0], configs[1], errors.Join(errs[:]...)
}
