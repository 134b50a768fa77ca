package policy

// Ref names a Kubernetes object.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is "Kind namespace/name".
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Origin says where a setting or a route was written: an object and a field of it. The zero Origin is a built-in default.
type Origin struct {
	Object Ref    `json:"object"`
	Field  string `json:"field"` // "spec.rules[0].http.paths[1]", "metadata.annotations[...]", "data[hsts]"
}

// IsDefault reports whether nobody wrote the value.
func (o Origin) IsDefault() bool { return o.Object == Ref{} }

// String is "Kind namespace/name field", or "default".
func (o Origin) String() string {
	if o.IsDefault() {
		return "default"
	}
	return o.Object.String() + " " + o.Field
}
