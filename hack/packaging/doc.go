// Command packaging writes what users install.
//
//   - bundle writes the OperatorHub bundle from config/: the ClusterServiceVersion, the definitions, and what describes them.
//   - catalog writes the file-based catalog of OLM that offers bundles in channels.
//   - validate runs the validators of operator-framework over a bundle, and reads a catalog as opm does.
//
// `packaging <subcommand> -h` lists the flags. docs/decisions/0034-a-bundle-by-a-generator-of-our-own.md has the reasons for a generator of our own.
package main
