package bundle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// The capabilities of descriptors, which consoles turn into inputs and outputs.
const (
	urnUI         = "urn:alm:descriptor:com.tectonic.ui:"
	urnText       = "urn:alm:descriptor:text"
	urnConditions = "urn:alm:descriptor:io.kubernetes.conditions"
	urnPhase      = "urn:alm:descriptor:io.kubernetes.phase"
	urnResource   = "urn:alm:descriptor:io.kubernetes:"
)

const (
	// item stands for each item of a list in the path of a descriptor.
	item = "[0]"
	// describedDepth is the depth to which all fields get a descriptor. Below it only those get one that name a Secret or a ConfigMap, for which
	// consoles have an input of their own: forms build the inputs of other fields from the schema.
	describedDepth = 2
)

// descriptor is what descriptors of spec and status have in common.
type descriptor struct {
	path, displayName, description string
	capabilities                   []string
}

// property is a field of a schema with its place.
type property struct {
	path       string
	depth      int
	isRequired bool
	schema     apiextensionsv1.JSONSchemaProps
}

// describe returns the descriptors of all fields below a schema, sorted by path. capabilitiesOf returns those of a field.
func describe(schema apiextensionsv1.JSONSchemaProps, capabilitiesOf func(property) []string) []descriptor {
	var all []descriptor
	for _, f := range fieldsBelow("", 1, schema) {
		if f.depth > describedDepth && referenced(f) == "" {
			continue
		}
		all = append(all, descriptor{
			path: f.path, displayName: displayName(f.path), description: firstSentence(f.schema.Description), capabilities: capabilitiesOf(f),
		})
	}
	slices.SortFunc(all, func(a, b descriptor) int { return strings.Compare(a.path, b.path) })
	return all
}

// fieldsBelow returns the properties of a schema and of what is below them, lists included. Items of a list are one level below it. The fields of
// conditions are left out: consoles know them.
func fieldsBelow(path string, depth int, schema apiextensionsv1.JSONSchemaProps) []property {
	var found []property
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		f := property{path: name, depth: depth, schema: schema.Properties[name], isRequired: slices.Contains(schema.Required, name)}
		if path != "" {
			f.path = path + "." + name
		}
		found = append(found, f)
		if f.path == "conditions" {
			continue
		}
		found = append(found, fieldsBelow(f.path, depth+1, f.schema)...)
		if items := f.schema.Items; items != nil && items.Schema != nil {
			found = append(found, fieldsBelow(f.path+item, depth+1, *items.Schema)...)
		}
	}
	return found
}

// referenced is the kind of the object that a field names: Secret, ConfigMap or nothing.
func referenced(f property) string {
	if f.schema.Type != "string" {
		return ""
	}
	parent, name := cutLast(f.path)
	if name == "name" {
		_, name = cutLast(parent)
	}
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, "secret"), strings.HasSuffix(name, "secretref"):
		return "Secret"
	case strings.HasSuffix(name, "configmap"), strings.HasSuffix(name, "configmapref"):
		return "ConfigMap"
	}
	return ""
}

// cutLast cuts a path before its last name.
func cutLast(path string) (parent, name string) {
	i := strings.LastIndex(path, ".")
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// specCapabilities selects the input for a field of spec. Optional fields of the first level are advanced settings.
func specCapabilities(f property) []string {
	var all []string
	switch kind := referenced(f); {
	case kind != "":
		all = append(all, urnResource+kind)
	case len(f.schema.Enum) > 0:
		for _, value := range f.schema.Enum {
			all = append(all, urnUI+"select:"+enumText(value))
		}
	case f.schema.Type == "boolean":
		all = append(all, urnUI+"booleanSwitch")
	case f.schema.Type == "integer":
		all = append(all, urnUI+"number")
	case f.schema.Type == "string", f.schema.XIntOrString:
		all = append(all, urnUI+"text")
	}
	if f.depth == 1 && !f.isRequired {
		all = append(all, urnUI+"advanced")
	}
	return all
}

// statusCapabilities selects the output for a field of status.
func statusCapabilities(f property) []string {
	kind := referenced(f)
	switch {
	case f.path == "conditions":
		return []string{urnConditions}
	case f.path == "phase":
		return []string{urnPhase}
	case kind != "":
		return []string{urnResource + kind}
	case f.schema.Type == "string":
		return []string{urnText}
	}
	return nil
}

// enumText is the text of an allowed value.
func enumText(value apiextensionsv1.JSON) string {
	var text string
	if err := json.Unmarshal(value.Raw, &text); err != nil {
		// A number or a boolean.
		return string(value.Raw)
	}
	return text
}

// own adds the descriptions and the descriptors of a definition to the hand-written entry of its kind.
func own(entry *operatorsv1alpha1.CRDDescription, definition *apiextensionsv1.CustomResourceDefinition) error {
	at := slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == entry.Version })
	if at < 0 || definition.Spec.Names.Kind != entry.Kind {
		return fmt.Errorf("the definition %s has no kind %s in version %s", definition.Name, entry.Kind, entry.Version)
	}
	schema := definition.Spec.Versions[at].Schema
	if schema == nil || schema.OpenAPIV3Schema == nil {
		return fmt.Errorf("the definition %s has no schema", definition.Name)
	}
	if entry.Description == "" {
		entry.Description = firstParagraph(schema.OpenAPIV3Schema.Description)
	}
	properties := schema.OpenAPIV3Schema.Properties
	written := entry.SpecDescriptors
	entry.SpecDescriptors = nil
	for _, d := range describe(properties["spec"], specCapabilities) {
		entry.SpecDescriptors = append(entry.SpecDescriptors, operatorsv1alpha1.SpecDescriptor{
			Path: d.path, DisplayName: d.displayName, Description: d.description, XDescriptors: d.capabilities,
		})
	}
	if len(entry.StatusDescriptors) > 0 {
		return fmt.Errorf("%s has hand-written statusDescriptors: they are generated", entry.Kind)
	}
	for _, d := range describe(properties["status"], statusCapabilities) {
		entry.StatusDescriptors = append(entry.StatusDescriptors, operatorsv1alpha1.StatusDescriptor{
			Path: d.path, DisplayName: d.displayName, Description: d.description, XDescriptors: d.capabilities,
		})
	}
	return override(entry, written)
}

// override lets hand-written descriptors of spec replace what they have values for.
func override(entry *operatorsv1alpha1.CRDDescription, written []operatorsv1alpha1.SpecDescriptor) error {
	for _, w := range written {
		at := slices.IndexFunc(entry.SpecDescriptors, func(d operatorsv1alpha1.SpecDescriptor) bool { return d.Path == w.Path })
		if at < 0 {
			return fmt.Errorf("%s has a hand-written specDescriptor for %q, which is no field of spec", entry.Kind, w.Path)
		}
		d := &entry.SpecDescriptors[at]
		if w.DisplayName != "" {
			d.DisplayName = w.DisplayName
		}
		if w.Description != "" {
			d.Description = w.Description
		}
		if w.XDescriptors != nil {
			d.XDescriptors = w.XDescriptors
		}
	}
	return nil
}
