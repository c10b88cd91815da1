// Package crd tests the CustomResourceDefinitions in config/crd/bases without an API server: it runs the API server's
// own code for defaulting, schema validation and CEL rules on objects. Every rule has a case that it accepts and one that
// it rejects, and every transition rule has an update of each sort; a rule without cases fails the test.
package crd
