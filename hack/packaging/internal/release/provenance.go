package release

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Types of the provenance, see https://slsa.dev/spec/v1.0/provenance and https://github.com/in-toto/attestation.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	buildType     = repositoryURL + "/blob/main/CONTRIBUTING.md#releases"
)

const repositoryURL = "https://github.com/meshfleet/meshfleet"

// resource is a ResourceDescriptor of in-toto.
type resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

type predicate struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string         `json:"buildType"`
	ExternalParameters   map[string]any `json:"externalParameters"`
	InternalParameters   map[string]any `json:"internalParameters"`
	ResolvedDependencies []resource     `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder  resourceID        `json:"builder"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

type resourceID struct {
	ID string `json:"id"`
}

// lockFiles fix the content of all modules that are built, of the tools that build, and of Istio's charts.
var lockFiles = []string{"go.sum", "hack/image/go.sum", "hack/packaging/go.sum", "hack/charts/modules.txt"}

// provenance adds a statement about how the other files were made. It has no times, and no signature: the workflow that publishes a release signs it.
func provenance(r *Release) error {
	subjects, err := r.subjects()
	if err != nil {
		return err
	}
	dependencies, err := r.dependencies()
	if err != nil {
		return err
	}
	toolchain, err := r.toolchain()
	if err != nil {
		return err
	}
	internal := map[string]any{"goVersion": toolchain, "signature": "none: this file is not signed by itself"}
	if len(r.Unpinned) > 0 {
		internal["imagesWithoutDigest"] = r.Unpinned
	}
	details := runDetails{Builder: resourceID{ID: r.Builder}}
	if r.Invocation != "" {
		details.Metadata = map[string]string{"invocationId": r.Invocation}
	}
	content, err := json.MarshalIndent(statement{
		Type: statementType, Subject: subjects, PredicateType: predicateType,
		Predicate: predicate{
			BuildDefinition: buildDefinition{
				BuildType: buildType,
				ExternalParameters: map[string]any{
					"target": "release", "version": r.Version, "image": r.Image, "architectures": slices.Sorted(maps.Keys(r.Binaries)),
				},
				InternalParameters:   internal,
				ResolvedDependencies: dependencies,
			},
			RunDetails: details,
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return r.Add(provenanceFile, append(content, '\n'), 0o644)
}

// subjects are all files of the release, and its images as a registry has them.
func (r *Release) subjects() ([]resource, error) {
	all, err := sums(r.Output)
	if err != nil {
		return nil, err
	}
	var subjects []resource
	for _, c := range all {
		subjects = append(subjects, resource{Name: c.name, Digest: map[string]string{"sha256": c.sum}})
	}
	digests := maps.Clone(r.Images)
	digests[r.Image] = r.Digest
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		algorithm, digest, ok := strings.Cut(digests[name], ":")
		if !ok {
			return nil, fmt.Errorf("the digest %q of the image %s has no algorithm", digests[name], name)
		}
		subjects = append(subjects, resource{Name: name, Digest: map[string]string{algorithm: digest}})
	}
	return subjects, nil
}

// dependencies are the commit and the lock files in it.
func (r *Release) dependencies() ([]resource, error) {
	commit := resource{URI: "git+" + repositoryURL, Digest: map[string]string{"gitCommit": r.Source.Commit}}
	if changed := len(r.Source.Changed); changed > 0 {
		commit.Annotations = map[string]any{"filesThatDiffer": changed}
	}
	all := []resource{commit}
	for _, name := range lockFiles {
		sum, err := sumOf(filepath.Join(r.Repository, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		all = append(all, resource{Name: name, Digest: map[string]string{"sha256": sum}})
	}
	return all, nil
}
