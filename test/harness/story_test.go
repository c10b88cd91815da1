package harness

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

func TestStagesEndWithTheFirstThatFails(t *testing.T) {
	var out bytes.Buffer
	env, err := New(Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	broken, ran := errors.New("it broke"), ""
	stage := func(name string, err error) Stage {
		return Stage{name, func() error { ran += name; return err }}
	}
	if err := env.Stages(stage("a", nil), stage("b", broken), stage("c", nil)); !errors.Is(err, broken) || ran != "ab" {
		t.Errorf("ran %q, error %v", ran, err)
	}
	if text := out.String(); !strings.Contains(text, "✓ a") || !strings.Contains(text, "✗ b") {
		t.Errorf("progress is:\n%s", text)
	}
}

func TestStartUpSaysWhatItBrings(t *testing.T) {
	env, err := New(Options{Members: []string{"east", "west", "south"}, IstioVersions: []string{"1.29.1", "1.28.3"}})
	if err != nil {
		t.Fatal(err)
	}
	stages := env.StartUp(context.Background())
	if want := "Bring up the clusters hub, east, west and south with the images of Istio 1.29.1 and 1.28.3"; stages[0].Name != want {
		t.Errorf("the first is %q, want %q", stages[0].Name, want)
	}
	if len(stages) != 3 {
		t.Errorf("%d stages, want three", len(stages))
	}
	env.opts.Attach = map[string]string{HubName: "hub.kubeconfig"}
	if stages := env.StartUp(context.Background()); len(stages) != 1 {
		t.Errorf("%d stages for clusters that have the operator, want one", len(stages))
	}
}
