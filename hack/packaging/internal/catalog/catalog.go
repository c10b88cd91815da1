// Package catalog makes the file-based catalog of OLM: the package, its channels with the upgrades between versions, and what the catalog knows of
// each version's bundle. It uses the types and the checks of operator-registry, which are those of `opm validate`.
package catalog

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	apimanifests "github.com/operator-framework/api/pkg/manifests"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/operator-registry/alpha/declcfg"
	"github.com/operator-framework/operator-registry/alpha/property"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// Bundle is a bundle that was built and not published yet.
type Bundle struct {
	// Dir is the directory of the bundle.
	Dir string
	// Image is the image with the bundle. Default: beside the operator's image, with `-bundle` behind the repository and the tag `v<version>`.
	Image string
}

// entry is one version of the catalog.
type entry struct {
	version   semver.Version
	skipRange string
	bundle    declcfg.Bundle
	// csv is nil for published versions.
	csv *operatorsv1alpha1.ClusterServiceVersion
}

// Build makes the catalog of the published versions and of bundles, and checks it.
func Build(history *releases.History, bundles []Bundle) (*declcfg.DeclarativeConfig, error) {
	if len(bundles) == 0 {
		return nil, fmt.Errorf("name a bundle")
	}
	var entries []entry
	for _, r := range history.Released {
		e, err := published(r)
		if err != nil {
			return nil, fmt.Errorf("version %s: %w", r.Version, err)
		}
		entries = append(entries, e)
	}
	for _, b := range bundles {
		e, err := built(b, history)
		if err != nil {
			return nil, fmt.Errorf("bundle %s: %w", b.Dir, err)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.version.Compare(b.version) })
	described, err := packageOf(entries)
	if err != nil {
		return nil, err
	}
	config := &declcfg.DeclarativeConfig{Packages: []declcfg.Package{described}, Channels: channelsOf(entries)}
	for _, e := range entries {
		config.Bundles = append(config.Bundles, e.bundle)
	}
	if _, err := declcfg.ConvertToModel(*config); err != nil {
		return nil, fmt.Errorf("check the catalog: %w", err)
	}
	return config, nil
}

// published reads what the catalog said of a version.
func published(r releases.Release) (entry, error) {
	version, err := semver.Parse(r.Version)
	if err != nil {
		return entry{}, err
	}
	config, err := declcfg.LoadFile(os.DirFS(filepath.Dir(r.Bundle)), filepath.Base(r.Bundle))
	if err != nil {
		return entry{}, err
	}
	if len(config.Bundles) != 1 || config.Bundles[0].Name != releases.Name(version) {
		return entry{}, fmt.Errorf("%s does not have exactly the bundle %s", r.Bundle, releases.Name(version))
	}
	return entry{version: version, skipRange: r.SkipRange, bundle: config.Bundles[0]}, nil
}

// built reads a bundle directory.
func built(b Bundle, history *releases.History) (entry, error) {
	bundle, err := apimanifests.GetBundleFromDir(b.Dir)
	if err != nil {
		return entry{}, err
	}
	csv := bundle.CSV
	version := csv.Spec.Version.Version
	operator, err := images.Parse(csv.Annotations["containerImage"])
	if err != nil {
		return entry{}, fmt.Errorf("annotation containerImage: %w", err)
	}
	if b.Image == "" {
		b.Image = operator.Repository + "-bundle:v" + version.String()
	}
	if _, err := images.Parse(b.Image); err != nil {
		return entry{}, err
	}
	return entry{
		version: version, skipRange: history.SkipRange(version), csv: csv,
		bundle: declcfg.Bundle{
			Schema: declcfg.SchemaBundle, Name: csv.Name, Package: releases.Package, Image: b.Image,
			Properties: propertiesOf(csv), RelatedImages: relatedImages(csv, b.Image),
		},
	}, nil
}

// propertiesOf are the facts that OLM resolves by, and what consoles show before the installation.
func propertiesOf(csv *operatorsv1alpha1.ClusterServiceVersion) []property.Property {
	properties := []property.Property{property.MustBuildPackage(releases.Package, csv.Spec.Version.String())}
	for _, owned := range csv.Spec.CustomResourceDefinitions.Owned {
		_, group, _ := strings.Cut(owned.Name, ".")
		properties = append(properties, property.MustBuildGVK(group, owned.Version, owned.Kind))
	}
	slices.SortFunc(properties, func(a, b property.Property) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(string(a.Value), string(b.Value)))
	})
	return append(properties, property.MustBuildCSVMetadata(*csv))
}

// relatedImages are all images that a mirror of the catalog needs: those of the ClusterServiceVersion, the bundle, and the operator, sorted as
// opm sorts them.
func relatedImages(csv *operatorsv1alpha1.ClusterServiceVersion, bundle string) []declcfg.RelatedImage {
	var all []declcfg.RelatedImage
	seen := map[string]bool{}
	add := func(name, image string) {
		if !seen[image] {
			all = append(all, declcfg.RelatedImage{Name: name, Image: image})
		}
		seen[image] = true
	}
	for _, image := range csv.Spec.RelatedImages {
		add(image.Name, image.Image)
	}
	add("", bundle)
	for _, deployment := range csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs {
		for _, container := range deployment.Spec.Template.Spec.Containers {
			add("", container.Image)
		}
	}
	slices.SortStableFunc(all, func(a, b declcfg.RelatedImage) int { return cmp.Compare(a.Image, b.Image) })
	return all
}

// packageOf describes the package by the newest bundle that was built.
func packageOf(entries []entry) (declcfg.Package, error) {
	p := declcfg.Package{Schema: declcfg.SchemaPackage, Name: releases.Package}
	versions := make([]semver.Version, 0, len(entries))
	for _, e := range entries {
		versions = append(versions, e.version)
		if e.csv == nil {
			continue
		}
		p.Description = e.csv.Spec.Description
		for _, icon := range e.csv.Spec.Icon {
			data, err := base64.StdEncoding.DecodeString(icon.Data)
			if err != nil {
				return p, fmt.Errorf("icon of %s: %w", e.csv.Name, err)
			}
			p.Icon = &declcfg.Icon{Data: data, MediaType: icon.MediaType}
		}
	}
	p.DefaultChannel = releases.DefaultChannel(versions)
	return p, nil
}

// channelsOf puts each version into its channels. In each it replaces the version before it in that channel.
func channelsOf(entries []entry) []declcfg.Channel {
	versions := make([]semver.Version, 0, len(entries))
	for _, e := range entries {
		versions = append(versions, e.version)
	}
	var channels []declcfg.Channel
	for _, name := range []string{releases.Candidate, releases.Stable} {
		channel := declcfg.Channel{Schema: declcfg.SchemaChannel, Name: name, Package: releases.Package}
		for _, e := range entries {
			if !slices.Contains(releases.Channels(e.version), name) {
				continue
			}
			next := declcfg.ChannelEntry{Name: releases.Name(e.version), SkipRange: e.skipRange}
			if before, found := releases.Before(versions, e.version, name); found {
				next.Replaces = releases.Name(before)
			}
			channel.Entries = append(channel.Entries, next)
		}
		if len(channel.Entries) > 0 {
			channels = append(channels, channel)
		}
	}
	return channels
}

// Check reads a catalog as opm does, and checks it.
func Check(ctx context.Context, dir string) error {
	config, err := declcfg.LoadFS(ctx, os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("read the catalog %s: %w", dir, err)
	}
	if _, err := declcfg.ConvertToModel(*config); err != nil {
		return fmt.Errorf("check the catalog %s: %w", dir, err)
	}
	return nil
}
