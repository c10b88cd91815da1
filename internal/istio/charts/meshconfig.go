package charts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// The schema of meshConfig is that of the one release of istio.io/api in go.mod, which is newer than the Istio releases that
// can be installed. It has every field that they know. Fields that it has and a release does not know yet are not found:
// istiod ignores these.
var (
	meshSchema    = (&meshconfig.MeshConfig{}).ProtoReflect().Descriptor()
	networkSchema = (&meshconfig.Network{}).ProtoReflect().Descriptor()
)

// meshConfig checks the names and types of meshConfig and of global.meshNetworks against Istio's schema. Istiod ignores
// names that it does not know, and refuses all of meshConfig for a wrong type.
func (c *valueCheck) meshConfig(prefix string, values map[string]any) {
	if config, ok := values["meshConfig"].(map[string]any); ok {
		c.protoRoot(prefix+"meshConfig", meshSchema, config)
	}
	networks, _ := lookup(values, "global.meshNetworks")
	byName, _ := networks.(map[string]any)
	for _, name := range sortedKeys(byName) {
		c.protoRoot(prefix+"global.meshNetworks."+name, networkSchema, byName[name])
	}
}

// protoRoot checks a message. What single fields do not show, the reading of the whole does.
func (c *valueCheck) protoRoot(path string, schema protoreflect.MessageDescriptor, value any) {
	before := len(c.problems)
	c.message(path, schema, value)
	if len(c.problems) == before && readable(schema, value) != nil {
		c.refuse(path, "Istio cannot read it: a field may be set twice, in both spellings of its name; write it once")
	}
}

func readable(schema protoreflect.MessageDescriptor, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var m proto.Message = dynamicpb.NewMessage(schema)
	return protojson.Unmarshal(raw, m)
}

func (c *valueCheck) message(path string, schema protoreflect.MessageDescriptor, value any) {
	fields, ok := value.(map[string]any)
	if !ok {
		c.refuse(path, "%s", wrongType(value, map[string]any{}, "Istio"))
		return
	}
	oneofs := map[protoreflect.FullName]string{}
	for _, name := range sortedKeys(fields) {
		at := path + "." + name
		fd := schema.Fields().ByJSONName(name)
		if fd == nil {
			fd = schema.Fields().ByTextName(name)
		}
		if fd == nil {
			c.refuse(at, "Istio does not know this field of %s%s", schema.Name(), meant(name, fieldNames(schema)))
			continue
		}
		if fields[name] == nil {
			continue
		}
		if oneof := fd.ContainingOneof(); oneof != nil {
			if other := oneofs[oneof.FullName()]; other != "" {
				c.refuse(at, "Istio takes one of %s and %s; remove one", other, name)
			}
			oneofs[oneof.FullName()] = name
		}
		c.field(at, fd, fields[name])
	}
}

// field checks the value of a field: one, a list, or a map.
func (c *valueCheck) field(path string, fd protoreflect.FieldDescriptor, value any) {
	switch {
	case fd.IsMap():
		entries, ok := value.(map[string]any)
		if !ok {
			c.refuse(path, "%s", wrongType(value, map[string]any{}, "Istio"))
			return
		}
		for _, key := range sortedKeys(entries) {
			c.single(path+"."+key, fd, fd.MapValue(), entries[key], map[string]any{key: entries[key]})
		}
	case fd.IsList():
		items, ok := value.([]any)
		if !ok {
			c.refuse(path, "%s", wrongType(value, []any{}, "Istio"))
			return
		}
		for i, item := range items {
			c.single(fmt.Sprintf("%s[%d]", path, i), fd, fd, item, []any{item})
		}
	default:
		c.single(path, fd, fd, value, value)
	}
}

// single checks one value. In the field it stands as wrapped, which is a list or a map of one where the field is such.
func (c *valueCheck) single(path string, field, of protoreflect.FieldDescriptor, value, wrapped any) {
	if m := of.Message(); m != nil && !isWellKnown(m) {
		c.message(path, m, value)
		return
	}
	if readable(field.ContainingMessage(), map[string]any{field.JSONName(): wrapped}) == nil {
		return
	}
	need, cure := needed(of), ""
	if need == "text" && (typeOf(value) == "number" || typeOf(value) == "boolean") {
		cure = ": put it in quotes"
	}
	if typeOf(value) == need {
		need += " of another form"
	}
	c.refuse(path, "is a %s, and Istio needs a %s%s", typeOf(value), need, cure)
}

// isWellKnown tells messages that JSON has another form for: durations, wrapped scalars and free maps.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.FullName()), "google.protobuf.")
}

// needed names what a field takes.
func needed(fd protoreflect.FieldDescriptor) string {
	if m := fd.Message(); m != nil {
		switch m.Name() {
		case "Duration":
			return "duration such as 10s"
		case "Struct":
			return "map"
		}
		if value := m.Fields().ByName("value"); value != nil {
			return needed(value)
		}
		return string(m.Name())
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "boolean"
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "text"
	case protoreflect.EnumKind:
		var names []string
		for i := range fd.Enum().Values().Len() {
			names = append(names, string(fd.Enum().Values().Get(i).Name()))
		}
		return "name among " + strings.Join(names, ", ")
	}
	return "number"
}

func fieldNames(schema protoreflect.MessageDescriptor) []string {
	names := make([]string, 0, schema.Fields().Len())
	for i := range schema.Fields().Len() {
		names = append(names, schema.Fields().Get(i).JSONName())
	}
	slices.Sort(names)
	return names
}
