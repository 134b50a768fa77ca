// Package source reads Kubernetes objects and gives them away as Snapshots: Cluster from an API server, Files from a folder of YAML
// and JSON. Both feed the same store, so everything after a Snapshot works the same with a cluster and without one.
//
// A store is copy-on-write. The first change of a kind after a Snapshot was given away clones that kind's map, and further changes
// go to the clone; Snapshot itself only hands over the maps, in microseconds. What did not change in a way that matters (a status,
// a resourceVersion, an annotation of kubectl) makes no change at all, so that our own status writes do not turn the loop.
//
// A source never gives up what it has. A lost API server, a file that no longer parses, a folder that is gone: the last objects
// stay in use, and the trouble is told, by an Observer or as a Problem in the Snapshot.
package source
