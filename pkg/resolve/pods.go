package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// What the Pods of a Service say about it, where they are read: why it has no endpoint, for example
//
//	the selector of Service demo/web, app=wbe, matches no Pod; namespace demo has 12 Pods
//	web-1 (container web does not become ready: its readiness probe, GET http://:8080/healthz, fails)
//	web-1 (container web: ImagePullBackOff)
//	targetPort http is declared by none of its Pods, which declare web (8080)
//
// No endpoint is ever added or left out because of a Pod: EndpointSlices alone decide that.

// explainByPods makes what explain found more precise.
func (f *finding) explainByPods() {
	selector := f.service.Spec.Selector
	if len(f.resolver.work.snapshot.Pods) == 0 || len(selector) == 0 {
		return
	}
	pods, others := f.pods(labels.SelectorFromSet(selector))
	switch {
	case len(pods) == 0:
		f.fail(policy.SelectorMatchesNothing, "the selector of Service %s, %s, matches no Pod; namespace %s has %s", f.key.service,
			describeSelector(f.service), f.key.service.Namespace, count(others, "Pod"))
	case f.Reason == policy.TargetPortMismatch:
		f.fail(policy.TargetPortMismatch, "Service %s port %s has targetPort %s, which no container of its Pods declares; they declare %s", f.key.service,
			describePort(&f.port), describeTarget(&f.port), declaredPorts(pods[0]))
	default:
		f.fail(policy.NoReadyEndpoints, "Service %s has %s, and none is ready: %s", f.key.service, count(len(pods), "Pod"), joined(pods, describePod))
	}
}

// pods are those that a selector matches in the Service's namespace, by name, and how many others there are.
func (f *finding) pods(selector labels.Selector) (matching []*corev1.Pod, others int) {
	for key, pod := range f.resolver.work.snapshot.Pods {
		switch {
		case key.Namespace != f.key.service.Namespace:
		case selector.Matches(labels.Set(pod.Labels)):
			matching = append(matching, pod)
		default:
			others++
		}
	}
	slices.SortFunc(matching, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return matching, others
}

// doubtTargetPort warns of a targetPort that is a number which the first Pod's containers do not declare. They need not declare ports,
// so this is no error; those that do declare some usually declare all.
func (f *finding) doubtTargetPort() {
	if len(f.Endpoints) == 0 || f.port.TargetPort.Type != intstr.Int {
		return
	}
	first := f.Endpoints[0]
	pod := f.resolver.work.snapshot.Pods[object.Key{Namespace: f.key.service.Namespace, Name: first.Pod}]
	if pod == nil || pod.Spec.HostNetwork {
		return
	}
	declares := false
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			if uint16(p.ContainerPort) == first.Addr.Port() {
				return
			}
			declares = true
		}
	}
	if declares {
		f.notes = append(f.notes, note{route.Warning, policy.TargetPortMismatch,
			fmt.Sprintf("Service %s port %s has targetPort %d, which no container of Pod %s declares; it declares %s", f.key.service,
				describePort(&f.port), first.Addr.Port(), pod.Name, declaredPorts(pod)),
			"requests are answered 502 if nothing listens there"})
	}
}

// declaredPorts is "http (8080), 9090" or "no ports".
func declaredPorts(pod *corev1.Pod) string {
	var ports []string
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			number := strconv.Itoa(int(p.ContainerPort))
			if p.Name != "" {
				number = p.Name + " (" + number + ")"
			}
			ports = append(ports, number)
		}
	}
	if len(ports) == 0 {
		return "no ports"
	}
	return strings.Join(ports, ", ")
}

// describePod is a Pod's name and what keeps it from being ready.
func describePod(pod *corev1.Pod) string {
	if why := notReady(pod); why != "" {
		return pod.Name + " (" + why + ")"
	}
	return pod.Name
}

// notReady is the first thing that keeps a Pod from being ready, in the order in which Kubernetes works on one.
func notReady(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "terminating"
	}
	if scheduled := condition(pod, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionFalse {
		return strings.TrimSuffix("not scheduled: "+scheduled.Message, ": ")
	}
	if pod.Status.Reason != "" { // Evicted, and the like
		return pod.Status.Reason
	}
	for i := range pod.Status.ContainerStatuses {
		if why := containerNotReady(pod, &pod.Status.ContainerStatuses[i]); why != "" {
			return why
		}
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type != corev1.PodReady && c.Status == corev1.ConditionFalse { // a readiness gate
			return strings.TrimSuffix(fmt.Sprintf("condition %s is False: %s", c.Type, c.Message), ": ")
		}
	}
	if ready := condition(pod, corev1.PodReady); ready != nil && ready.Status != corev1.ConditionTrue {
		return ready.Message
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodPending {
		return string(pod.Status.Phase)
	}
	return ""
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

func containerNotReady(pod *corev1.Pod, status *corev1.ContainerStatus) string {
	switch {
	case status.Ready:
		return ""
	case status.State.Waiting != nil && status.State.Waiting.Reason != "":
		return fmt.Sprintf("container %s: %s", status.Name, status.State.Waiting.Reason)
	case status.State.Terminated != nil:
		return fmt.Sprintf("container %s ended with exit code %d", status.Name, status.State.Terminated.ExitCode)
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == status.Name && c.ReadinessProbe != nil {
			return fmt.Sprintf("container %s does not become ready: its readiness probe, %s, fails", c.Name, describeProbe(c.ReadinessProbe))
		}
	}
	return fmt.Sprintf("container %s is not ready", status.Name)
}

// describeProbe is what the kubelet asks, with the Pod's address left out: "GET http://:8080/healthz", "TCP port 5432".
func describeProbe(p *corev1.Probe) string {
	switch {
	case p.HTTPGet != nil:
		scheme := strings.ToLower(string(p.HTTPGet.Scheme))
		if scheme == "" {
			scheme = "http"
		}
		path := p.HTTPGet.Path
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		return fmt.Sprintf("GET %s://%s:%s%s", scheme, p.HTTPGet.Host, p.HTTPGet.Port.String(), path)
	case p.TCPSocket != nil:
		return "TCP port " + p.TCPSocket.Port.String()
	case p.GRPC != nil:
		return "gRPC health on port " + strconv.Itoa(int(p.GRPC.Port))
	case p.Exec != nil:
		return "a command in the container"
	}
	return "of an unknown kind"
}
