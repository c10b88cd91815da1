package bundle

import "testing"

func TestDisplayName(t *testing.T) {
	for path, want := range map[string]string{
		"version":                         "Version",
		"meshID":                          "Mesh ID",
		"dataPlane.restart":               "Data Plane Restart",
		"charts.caBundle":                 "Charts CA Bundle",
		"members[0].apiServerCA":          "API Server CA",
		"members[0].clusterRef.local":     "Cluster Ref Local",
		"upgrade.gates[0].webhook.url":    "Webhook URL",
		"status[0].waves[0].soakingSince": "Soaking Since",
	} {
		if got := displayName(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestFirstSentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"one sentence without": "one sentence without",
		"version is the exact Istio release, for example `1.29.1`. Aliases such as\n`1.29` are refused.": "version is the exact Istio release, for example `1.29.1`.",
		"mode is `Run`. `Plan` changes nothing.":                                                         "mode is `Run`.",
		"names such as kubectl.kubernetes.io/x and 1.29.1 stay":                                          "names such as kubectl.kubernetes.io/x and 1.29.1 stay",
	} {
		if got := firstSentence(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestFirstParagraph(t *testing.T) {
	if got := firstParagraph("\none\ntwo.\n\nthree"); got != "one two." {
		t.Errorf("got %q", got)
	}
}
